"""How far a body may grow until the gateway refuses it for its engine's sake."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from cluster.fleet import Gateway
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.body import INLINE_BYTES, BodyFile, write_all
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.preparation.bodies.json_body import JsonSettings, Source
from deployments.gateway.preparation.preparer import Preparer, preparer
from tests.support.routes import bodies_of

MODEL = "m"
MOST_BYTES = Gateway().max_json_bytes
MOST_SIZE = 2**24
"""Repetitions. A number in a body may grow without the body growing."""


@dataclass(frozen=True)
class Admitted:
    """Attributes:
    body: the largest that was admitted, as its engine is sent it; empty where none was.
    refusal: of the next larger one; None where it would be longer than a gateway takes.
    """

    size: int
    body: bytes
    refusal: ApiError | None


class Admission:
    """A gateway's preparation of one model's bodies, with workers. One event loop owns it."""

    def __init__(self, source: Source, model: str) -> None:
        self._source, self._model = source, model
        self._preparer: Preparer = preparer(keyed=True)

    async def start(self) -> None:
        assert await self._preparer.load(self._source) == ""

    async def close(self) -> None:
        await self._preparer.close()

    async def sent(self, route: str, raw: bytes) -> bytes:
        """What an engine is sent. Raises ApiError."""
        settings = JsonSettings(bodies_of(route), sources={self._model: self._source})
        claim = ByteClaim(ByteBudget(2**30))
        if len(raw) <= INLINE_BYTES:
            _, sent = await self._preparer.json_body(raw, settings, "tenant", claim)
            assert isinstance(sent, bytes)
            return sent
        with closing(BodyFile("body")) as file:
            write_all(file.fd, raw)
            _, changed = await self._preparer.json_body(file, settings, "tenant", claim)
            assert isinstance(changed, BodyFile)
            with closing(changed):
                return changed.read()

    async def largest(
        self, route: str, make: Callable[[int], dict[str, Any]], start: int, halvings: int = 3
    ) -> Admitted:
        """By doubling from `start` on, and then by halving what lies between."""
        admitted, step, growing = Admitted(0, b"", None), start, True
        while step and (growing or halvings):
            size = admitted.size + step
            raw = msgspec.json.encode({"model": self._model, **make(size)})
            refusal = None
            if len(raw) <= MOST_BYTES and size <= MOST_SIZE:
                try:
                    admitted = Admitted(size, await self.sent(route, raw), admitted.refusal)
                except ApiError as error:
                    refusal = error
                else:
                    halvings -= not growing
                    step = size if growing else step // 2
                    continue
            admitted = replace(admitted, refusal=refusal or admitted.refusal)
            halvings -= not growing
            growing = False
            step //= 2
        return admitted
