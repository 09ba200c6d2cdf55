"""Settings of one fake engine process: they travel as JSON on its command line."""

from __future__ import annotations

from pydantic import Field

from cluster.fleet import EngineTls, FakeEngine, Strict, Task
from deployments.engine.backend import EngineSpec


class FakeConfig(Strict):
    """What the process serves and how fast it is."""

    names: tuple[str, ...] = Field(min_length=1)
    task: Task
    checkpoint: str
    slots: int = Field(ge=1)
    caches: bool = True
    tls: EngineTls | None = None
    speed: FakeEngine = FakeEngine()

    @classmethod
    def of(cls, spec: EngineSpec) -> FakeConfig:
        """Raises pydantic.ValidationError where the spec's `fake` settings are not those of `FakeEngine`."""
        return cls(
            names=spec.names,
            task=Task(spec.task),
            checkpoint=spec.checkpoint,
            slots=spec.slots,
            caches=spec.caches,
            tls=spec.tls,
            speed=FakeEngine.model_validate(dict(spec.fake)),
        )

    @property
    def max_model_len(self) -> int:
        """Prompt and answer tokens of one request: no more than all KV blocks hold, so that any request fits alone."""
        return min(self.speed.max_model_len, self.speed.kv_blocks * self.speed.block_size)

    @property
    def reuses_prefixes(self) -> bool:
        """An encoder-decoder's prompt is its audio: there is no prefix to reuse."""
        return self.caches and self.task is not Task.TRANSCRIPTION
