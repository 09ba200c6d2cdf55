from __future__ import annotations

import pytest
from pydantic import ValidationError

from cluster.fleet import FakeEngine
from deployments.engine.backend import EngineSpec
from deployments.engine.fake.config import FakeConfig


def spec(**changes: object) -> EngineSpec:
    fields: dict[str, object] = {
        "names": ("m", "other"),
        "task": "chat",
        "checkpoint": "none",
        "engine": "fake",
        "backend": "fake",
        "slots": 3,
    }
    return EngineSpec(**(fields | changes))  # type: ignore[arg-type]


def test_a_spec_becomes_a_config_and_survives_the_command_line() -> None:
    config = FakeConfig.of(spec(caches=False, fake=FakeEngine(kv_blocks=7).model_dump()))
    assert (config.names, config.slots, config.caches, config.speed.kv_blocks) == (("m", "other"), 3, False, 7)
    assert FakeConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(("blocks", "length", "expected"), [(10, 1000, 160), (100, 1000, 1000)])
def test_the_context_is_no_longer_than_the_blocks(blocks: int, length: int, expected: int) -> None:
    config = FakeConfig.of(spec(fake={"kv_blocks": blocks, "block_size": 16, "max_model_len": length}))
    assert config.max_model_len == expected


@pytest.mark.parametrize(
    ("task", "caches", "expected"), [("chat", True, True), ("chat", False, False), ("transcription", True, False)]
)
def test_prefixes_are_reused_where_there_are_some(task: str, caches: bool, expected: bool) -> None:
    assert FakeConfig.of(spec(task=task, caches=caches)).reuses_prefixes is expected


def test_unknown_settings_are_an_error() -> None:
    with pytest.raises(ValidationError, match="warp"):
        FakeConfig.of(spec(fake={"warp": 9}))
