"""The embedded checkpoints: where they come from and how each is prepared, once, into a cache folder."""

from cluster.checkpoints.errors import CheckpointError
from cluster.checkpoints.progress import Console, Progress, Silent
from cluster.checkpoints.recipes import RECIPES
from cluster.checkpoints.resolving import Resolved, prepare_all, resolve
from cluster.checkpoints.store import default_cache

__all__ = [
    "RECIPES",
    "CheckpointError",
    "Console",
    "Progress",
    "Resolved",
    "Silent",
    "default_cache",
    "prepare_all",
    "resolve",
]
