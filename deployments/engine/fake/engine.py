"""The engine behind the routes: one scheduler over one block pool, and the checks that a request meets before it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from deployments.engine.fake.batch import Batch, Sequence, TooManyWaiting
from deployments.engine.fake.config import FakeConfig
from deployments.engine.fake.errors import EngineError, unknown_model
from deployments.engine.fake.faults import Faults
from deployments.engine.fake.kv_blocks import KvBlocks
from deployments.engine.fake.kv_publisher import KvPublisher
from deployments.engine.fake.prompts import Prompt
from deployments.engine.fake.scheduler import Scheduler


class Engine:
    """Everything that the routes share."""

    def __init__(self, config: FakeConfig) -> None:
        self.config = config
        self.faults = Faults()
        self.publisher = KvPublisher(config.speed.block_size, self.faults)
        self.blocks = KvBlocks(
            config.speed.kv_blocks,
            config.speed.block_size,
            caches=config.reuses_prefixes,
            on_event=self.publisher.on_event,
        )
        self.batch = Batch(config.speed, config.slots, self.blocks)
        self.scheduler = Scheduler(self.batch, self.faults, self.publisher.end_step)

    def check_model(self, name: str | None) -> None:
        """Raises EngineError where `name` is not served here; no name means the only model there is."""
        if name and name not in self.config.names:
            raise unknown_model(name, self.config.names)

    def sequence(
        self,
        prompt: Prompt,
        most_new_tokens: int | None,
        changed: asyncio.Event,
        *,
        salt: str | None = None,
        encode_s: float = 0.0,
        ignores_stop: bool = False,
        streams: bool = False,
    ) -> Sequence:
        """A sequence that is ready to run. Raises EngineError where its prompt is empty or leaves no room to answer."""
        length, room = len(prompt.token_ids), self.config.max_model_len
        if not length:
            raise EngineError("The decoder prompt cannot be empty", param="prompt")
        if length >= room:
            raise EngineError(
                f"This model's maximum context length is {room} tokens. However, your prompt contains {length} input "
                "tokens, which leaves no room for output tokens. Please reduce the length of the input prompt.",
                param="input_tokens",
            )
        return Sequence(
            prompt.token_ids,
            min(most_new_tokens or room, room - length),
            prompt.extra_keys(self.blocks.block_size, salt),
            encode_s,
            ignores_stop,
            streams,
            changed,
            salt or "",
            prompt.images,
        )

    def forget_prefixes(self) -> bool:
        """Forgets every reusable block; False, and nothing changed, while sequences hold some."""
        if self.blocks.in_use:
            return False
        self.blocks.clear()
        self.publisher.end_step()
        return True

    @contextmanager
    def running(self, sequences: list[Sequence]) -> Iterator[None]:
        """Runs sequences inside the block and aborts those that have not ended after it.

        Raises EngineError where the queue is full.
        """
        submitted = []
        try:
            for sequence in sequences:
                self.scheduler.submit(sequence)
                submitted.append(sequence)
            yield
        except TooManyWaiting as error:
            raise EngineError(str(error), 503, "ServiceUnavailableError") from error
        finally:
            for sequence in submitted:
                self.scheduler.abort(sequence)


ENGINE = web.AppKey("engine", Engine)
