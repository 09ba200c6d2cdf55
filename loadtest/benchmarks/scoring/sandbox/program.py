"""Loads and runs a program the way LiveCodeBench does, with the oddities that its results depend on.

Known oddities (LiveCodeBench, lcb_runner/evaluation/testing_util.py): a program that reads standard input becomes the
body of a function, so that `global` names of its own are missing; `input()` fails at an empty line; a binary
`readline` always gives the first line; standard output has no `buffer`.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

MODULE = "tmp_sol"
ENTRY = "wrapped_function"
GUARD = "__name__ == '__main__'"

_NAMED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
PRELUDE = "\n".join(
    [
        *(f"from {name} import *" for name in (*_NAMED, "builtins", "typing")),
        *(f"import {name}" for name in _NAMED),
        "sys.setrecursionlimit(50000)\n",
    ]
)
"""Every name that a program finds without importing it, in the order in which later ones win."""

MISSING_MODULES = ("ipdb", "joblib", "resource", "psutil", "tkinter")
INTEGER_DIGITS = 50_000


def prepare_interpreter() -> None:
    """What LiveCodeBench changes in the interpreter, as far as a result may depend on it."""
    sys.set_int_max_str_digits(INTEGER_DIGITS)
    for name in MISSING_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    vars(builtins)["quit"] = None


def load(code: str, function: str | None) -> Callable[[str], str]:
    """A function from a test's input to what is judged: output, or with a `function` its returned value as JSON.

    Raises whatever the program does; the function that is returned as well.
    """
    text = f"{PRELUDE}\n{code}" if function is not None else as_function(code)
    module = ModuleType(MODULE)
    exec(text, module.__dict__)
    holder: Any = vars(module)["Solution"]() if "class Solution" in text else module
    called = getattr(holder, function or ENTRY)
    return (lambda given: _returned(called, given)) if function is not None else lambda given: _printed(called, given)


def as_function(code: str) -> str:
    """Text of a program whose statements, but for its imports, are those of a function; itself where it is broken."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    if body and isinstance(last := body[-1], ast.If) and ast.unparse(last.test) == GUARD:
        body = [*body[:-1], *last.body]
    imports: list[ast.stmt] = [statement for statement in body if isinstance(statement, ast.Import | ast.ImportFrom)]
    others = [statement for statement in body if not isinstance(statement, ast.Import | ast.ImportFrom)]
    wrapper = ast.parse(f"def {ENTRY}(): pass").body[0]
    assert isinstance(wrapper, ast.FunctionDef)
    wrapper.body = others
    return f"{PRELUDE}\n{ast.unparse(ast.Module(imports, []))}\n{ast.unparse(wrapper)}"


def plain(value: Any) -> Any:
    """A returned value as JSON can hold it. Raises TypeError for one that is equal to nothing JSON can hold."""
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(element) for key, element in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item())
    raise TypeError(f"the program returned a {type(value).__name__}")


def _returned(called: Callable[..., Any], given: str) -> str:
    value = called(*(json.loads(line) for line in given.split("\n")))
    return json.dumps(plain(list(value) if isinstance(value, tuple) else value))


def _printed(called: Callable[[], Any], given: str) -> str:
    before, printed = (sys.stdin, sys.stdout), _Printed()
    sys.stdin, sys.stdout = FakeInput(given), printed
    try:
        called()
    except SystemExit:
        pass
    finally:
        sys.stdin, sys.stdout = before
    return printed.getvalue()


class _Printed(io.StringIO):
    def close(self) -> None:
        """What was printed must outlive a program that closes its output."""


class FakeInput:
    """Standard input. Lines come without their ends, and past the last one StopIteration is raised."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = iter(text.split("\n"))
        self._rest = io.StringIO(text)
        self.buffer = _FakeBuffer(text.encode())

    def read(self, *_: Any) -> str:
        return self._text

    def readline(self, *_: Any) -> str:
        return next(self._lines)

    def readlines(self, *_: Any) -> list[str]:
        return self._text.split("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)


class _FakeBuffer:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, *_: Any) -> bytes:
        return self._content

    def readline(self, *_: Any) -> bytes:
        return self._content.split(b"\n")[0] + b"\n"
