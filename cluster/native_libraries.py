"""Mends PyTorch's companion packages where their native libraries cannot load.

PyPI's x86 Linux wheels of torchvision, torchaudio and torchcodec are CUDA builds. Beside a CPU build of PyTorch their
libraries fail to load, and importing them fails with that, though no model here needs the native parts: images are
preprocessed by torchvision's Python layer, audio is read by soundfile and PyAV. Where they load, nothing is done.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VISION_OPERATORS = ("nms", "qnms")
VISION_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
HIDDEN = {"torchaudio": "lib/*.so", "torchcodec": "*.so"}

logger = logging.getLogger("mixfleet.native_libraries")

_kept: list[Any] = []
"""PyTorch forgets operators with the object that defined them."""


def mend() -> None:
    """Must run before the first import of the packages in question. A second call does nothing."""
    if "torchvision" not in sys.modules and not _kept and (error := _load_error("torchvision", "_C*.so")):
        _define_vision_operators(error)
    for package, libraries in HIDDEN.items():
        if package not in sys.modules and (error := _load_error(package, libraries)):
            # An entry of None makes the package look absent, which its users are prepared for.
            sys.modules[package] = None  # type: ignore[assignment]
            logger.warning("%s's native library does not load (%s): going on as if it were absent", package, error)


def _define_vision_operators(error: OSError) -> None:
    """The bare schemas of the operators that torchvision's Python layer names while it is imported."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in VISION_OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + VISION_SCHEMA)
    _kept.append(library)
    logger.warning("torchvision's native operators do not load (%s): using its Python layer without them", error)


def _load_error(package: str, pattern: str) -> OSError | None:
    """Why none of the package's libraries loads; None where one does, or where the package has none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    libraries = sorted(Path(spec.origin).parent.glob(pattern))
    errors = _errors(libraries)
    return errors[0] if libraries and len(errors) == len(libraries) else None


def _errors(libraries: Sequence[Path]) -> list[OSError]:
    if not libraries:
        return []
    import torch  # noqa: F401  # they link against PyTorch's own libraries

    errors = []
    for library in libraries:
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            errors.append(error)
    return errors
