"""`python -m loadtest.data prompt`: MLCommons' question to Qwen3-VL, from a checkout of mlcommons/inference.

The texts are MLCommons' and no part of this project. They are read out of two modules of the reference, without running
them: the messages in task.py, and in schema.py the class whose JSON schema the first message shows.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, create_model

from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.product_prompt import PROMPT_FILE, JsonPrompt
from loadtest.results import write_text

PACKAGE = Path("multimodal/qwen3-vl/src/mlperf_inf_mm_q3vl")
ANSWER_CLASS = "ProductMetadata"
TYPES = {"str": str, "bool": bool}
PLACES = {
    "product_title": "{title}",
    "product_description": "{description}",
    "potential_product_categories": "{categories}",
}
"""Column that the reference puts into its text -> what stands for it in prompt.json."""


def write_reference_prompt(checkout: Path, folder: Path) -> None:
    """Writes `folder`/prompt.json. Raises DataError where the checkout holds other texts than v6.0's; OSError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give that of the catalogue")
    package = checkout / PACKAGE
    schema = _answer_schema(_parsed(package / "schema.py"))
    system, user = _texts(_parsed(package / "task.py"), json.dumps(schema, indent=2))
    if JsonPrompt(system, user).deviation is not None:
        raise DataError(
            f"{package}: holds other texts than those of the v6.0 round; take such a commit of mlcommons/inference, "
            "b66003e1 for one"
        )
    write_text(folder / PROMPT_FILE, json.dumps({"system": system, "user": user, "answer": "json"}, indent=1) + "\n")
    print(folder / PROMPT_FILE)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file}: unreadable: {error}; give the folder of a checkout of mlcommons/inference") from None


def _texts(task: ast.Module, schema: str) -> tuple[str, str]:
    """The text of the system and of the user, as templates."""
    system = user = ""
    for said in _dictionaries(task):
        if _constant(said.get("role")) == "system":
            system = _filled(said.get("content"), schema, braces=False)
        elif _constant(said.get("type")) == "text":
            user = _filled(said.get("text"), schema, braces=True)
    return system, user


def _dictionaries(tree: ast.AST) -> Iterator[dict[Any, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield {_constant(key): value for key, value in zip(node.keys, node.values, strict=True)}


def _constant(node: ast.expr | None) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _filled(text: ast.expr | None, schema: str, braces: bool) -> str:
    """An f-string with the answer's schema where it is computed, and places for a product's columns.

    `braces`: whether the result is a template, so that the text's own braces are doubled.
    """
    filled = ""
    for part in text.values if isinstance(text, ast.JoinedStr) else ():
        if isinstance(part, ast.FormattedValue):
            column = _constant(part.value.slice) if isinstance(part.value, ast.Subscript) else None
            filled += PLACES.get(str(column), schema)
        else:
            own = str(_constant(part))
            filled += own.replace("{", "{{").replace("}", "}}") if braces else own
    return filled


def _answer_schema(module: ast.Module) -> dict[str, Any]:
    """JSON schema of the answer, made as the reference makes it: by pydantic, fields described by their docstrings."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name == ANSWER_CLASS:
            fields: dict[str, Any] = {}
            for field, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    told = _constant(after.value) if isinstance(after, ast.Expr) else None
                    kind = TYPES.get(ast.unparse(field.annotation), str)
                    fields[field.target.id] = (kind, Field(description=inspect.cleandoc(str(told))))
            made = create_model(
                ANSWER_CLASS, __config__=ConfigDict(extra="forbid"), __doc__=ast.get_docstring(node), **fields
            )
            return made.model_json_schema()
    return {}
