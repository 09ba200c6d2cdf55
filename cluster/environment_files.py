"""Values of environment variables that a fleet names by files, because it holds no secrets itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MOST_BYTES = 65_536


class EnvironmentFileError(ValueError):
    """A file of `env_files` that cannot be used. The message is for the person who runs the fleet."""


def read_values(files: Mapping[str, str]) -> dict[str, str]:
    """Variable -> the one line of its file. Raises EnvironmentFileError, whose message holds no value."""
    return {variable: _value(variable, Path(name).expanduser()) for variable, name in files.items()}


def _value(variable: str, file: Path) -> str:
    try:
        with file.open("rb") as content:
            raw = content.read(MOST_BYTES + 1)
    except OSError as error:
        raise EnvironmentFileError(
            f"{variable}: {file}: {error.strerror}; `env_files` names it; it must be readable on every node of the pool"
        ) from None
    value = raw.strip()
    if not value or len(raw) > MOST_BYTES or b"\0" in value or b"\n" in value:
        raise EnvironmentFileError(f"{variable}: {file}: not one line of text; write the value alone into it")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EnvironmentFileError(f"{variable}: {file}: not UTF-8; write the value alone into it") from None
