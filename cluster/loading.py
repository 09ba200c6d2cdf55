"""Reads fleet files, and says of a wrong one which file, line and key are wrong and what to do."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.fleet import Fleet

DEFAULT_FLEET = "embedded"


class FleetError(ValueError):
    """A fleet file that cannot be used. The message is for the person who wrote it."""


def presets() -> dict[str, Path]:
    """Names of the presets that come with the project -> their files."""
    folder = Path(str(resources.files("cluster"))) / "presets"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_fleet(name_or_path: str = DEFAULT_FLEET) -> Fleet:
    """A preset by name, or a fleet file by path. Raises FleetError with one line per mistake."""
    known = presets()
    file = known.get(name_or_path, Path(name_or_path))
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise FleetError(
            f"no fleet '{name_or_path}': {error.strerror or error}; "
            f"give a file that can be read or one of the presets {', '.join(known)}"
        ) from None
    except UnicodeDecodeError:
        raise FleetError(f"{file}: not a text file in UTF-8; give a YAML fleet file") from None
    return parse_fleet(text, str(file))


def parse_fleet(text: str, file: str) -> Fleet:
    """A fleet from YAML text. `file` is what messages call it."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise FleetError(f"{where}: not valid YAML: {error.problem or error}; mend the syntax there") from None
    except RecursionError:
        raise FleetError(f"{file}: nested too deeply; a fleet file has six levels at most") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        # The last three are what PyYAML itself lets out for a value that is not of its tag, such as month 99.
        raise FleetError(f"{file}: not valid YAML: {error}; mend that value") from None
    if not isinstance(content, dict) or node is None:
        raise FleetError(f"{file}: a fleet file is a mapping with the keys {', '.join(Fleet.model_fields)}")
    repeated = _repeated_key(node, set())
    if repeated:
        raise FleetError(f"{file}:{repeated[0]}: key '{repeated[1]}' stands there twice; keep one of them")
    try:
        return Fleet.model_validate(content)
    except ValidationError as error:
        raise FleetError("\n".join(_explain(file, node, mistake) for mistake in error.errors())) from None


def _repeated_key(node: yaml.Node, visited: set[int]) -> tuple[int, str] | None:
    """The first mapping key that is written twice: YAML would silently keep the last.

    `visited` holds the nodes seen so far by `id`: an alias may lead back to where it stands.
    """
    if id(node) in visited:
        return None
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return next((found for item in node.value if (found := _repeated_key(item, visited))), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            return key.start_mark.line + 1, key.value
        seen.add(key.value)
        if found := _repeated_key(value, visited):
            return found
    return None


def _explain(file: str, root: yaml.Node, mistake: Any) -> str:
    path: tuple[str | int, ...] = mistake["loc"]
    key = ".".join(str(part) for part in path) or "fleet"
    message = str(mistake["msg"]).removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        message = f"unknown key; remove it or use one of {', '.join(_siblings(path[:-1]))}"
    elif mistake["type"] == "missing":
        message = "this key is missing: add it"
    elif not _may_hold_a_secret(path, mistake["input"]):
        shown = repr(mistake["input"])
        message = f"{message} (got {shown if len(shown) < 80 else shown[:77] + '...'})"
    return f"{file}:{_line(root, path)}: {' '.join(f'{key}: {message}'.split())}"  # one line, whatever the key holds


def _may_hold_a_secret(path: tuple[str | int, ...], written: object) -> bool:
    """A client's key at a wrong place, or a variable's value: alone, or within the pool that has it."""
    return path[:1] == ("tenants",) or "env" in path or isinstance(written, dict)


def _line(node: yaml.Node, path: tuple[str | int, ...]) -> int:
    """Line of the deepest part of `path` that the text has, counted from 1."""
    line = node.start_mark.line + 1
    for part in path:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return line


def _siblings(path: tuple[str | int, ...]) -> list[str]:
    """The keys that the schema knows at `path`."""
    schema: Any = Fleet.model_json_schema()
    definitions = schema["$defs"]
    for part in path:
        schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
        reference = schema.get("$ref") or next((a["$ref"] for a in schema.get("anyOf", []) if "$ref" in a), None)
        if reference:
            schema = definitions[reference.rsplit("/", 1)[1]]
    return sorted(schema.get("properties", {}))
