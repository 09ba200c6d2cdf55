"""The user's cache folder, in which everything that is made once for all runs lies."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "XDG_CACHE_HOME"


def user_cache() -> Path:
    """XDG_CACHE_HOME, else ~/.cache."""
    home = os.environ.get(CACHE_VARIABLE)
    return Path(home) if home else Path.home() / ".cache"


def project_cache() -> Path:
    """This project's folder in the user's cache folder."""
    return user_cache() / "mixfleet"
