"""The process that runs one program. It locks itself in before it learns what to run."""

from __future__ import annotations

import importlib
import json
import os
import sys

from loadtest.benchmarks.scoring.sandbox import frames, program
from loadtest.benchmarks.scoring.sandbox.confinement import Limits, lock_in

NOT_LOCKED = 2
MOST_REASON = 300
"""Characters of what is told of a failure."""


def main(options: str) -> None:
    """Speaks frames on standard input and output. `options`: JSON of mountpoint, readable, limits, tests."""
    asked = json.loads(options)
    given, told = os.dup(0), os.dup(1)
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        lock_in(asked["mountpoint"], asked["readable"], Limits(**asked["limits"]), asked["tests"])
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(NOT_LOCKED)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    importlib.invalidate_caches()  # most folders of modules are gone
    program.prepare_interpreter()
    frames.send(told, frames.SET_UP)
    _serve(given, told)
    os._exit(0)


def _serve(given: int, told: int) -> None:
    """A program may raise, and be told of, anything at all."""
    if (first := frames.receive(given)) is None:
        return
    asked = json.loads(first[1])
    kind = frames.OUTPUT if asked["function"] is None else frames.VALUE
    try:
        run = program.load(asked["code"], asked["function"])
    except BaseException as error:
        frames.send(told, frames.FAILED, _reason(error))
        return
    frames.send(told, frames.READY)
    while (test := frames.receive(given)) is not None:
        try:
            message = kind, run(test[1].decode()).encode("utf-8", "backslashreplace")
        except BaseException as error:
            message = frames.FAILED, _reason(error)
        frames.send(told, *message)


def _reason(error: BaseException) -> bytes:
    try:
        text = str(error)[:MOST_REASON]
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}".encode("utf-8", "backslashreplace")
