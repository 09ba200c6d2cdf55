"""An import hook that mends PyTorch's companion packages on the first import that may need them.

It imports only the standard library, because it is installed at the start of every Python process of an engine.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class MendOnImport(importlib.abc.MetaPathFinder):
    """Finds nothing itself: it only sees that one of `USERS` is about to be imported. Other processes do not pay."""

    USERS = frozenset({"vllm", "transformers", "torchvision", "torchaudio", "torchcodec"})

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.USERS:
            sys.meta_path.remove(self)
            from cluster.native_libraries import mend

            mend()
        return None


def install() -> None:
    """Puts the hook before all other finders."""
    sys.meta_path.insert(0, MendOnImport())
