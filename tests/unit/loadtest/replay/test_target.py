from __future__ import annotations

from typing import Any

import pytest

from loadtest.endpoint import TargetError
from loadtest.replay.target import Model, Target, inspect
from loadtest.traces.trace import ImageRef, TraceRequest
from tests.support.pages import Serve

TEXT = TraceRequest(0.0, 10, 5)
PICTURE = TraceRequest(0.0, 10, 5, images=(ImageRef(1, 4),))
SPEECH = TraceRequest(0.0, 0, 5, audio_s=1.0)

OSS = Model("gpt-oss", ("gpt-oss", "tiny"), "chat")
VL = Model("qwen3-vl", ("qwen3-vl",), "vision-chat")
WHISPER = Model("whisper", ("whisper",), "transcription")


def target(*models: Model) -> Target:
    return Target("http://fleet", models)


def test_a_request_goes_to_the_model_that_takes_it() -> None:
    fleet = target(OSS, VL, WHISPER)
    assert fleet.model_for(TEXT, None) is OSS
    assert fleet.model_for(PICTURE, None) is VL
    assert fleet.model_for(SPEECH, None) is WHISPER
    assert fleet.model_for(TEXT, "qwen3-vl") is VL
    assert target(VL, WHISPER).model_for(TEXT, None) is VL


def test_the_traces_own_word_comes_first() -> None:
    named = TraceRequest(0.0, 10, 5, model="tiny")
    assert target(OSS, VL).model_for(named, "qwen3-vl") is OSS


def test_a_foreign_endpoints_model_takes_what_it_is_given() -> None:
    only = Model("any", ("any",))
    assert all(target(only).model_for(request, None) is only for request in (TEXT, PICTURE, SPEECH))


@pytest.mark.parametrize(
    ("models", "request_", "default", "why"),
    [
        ((OSS, WHISPER), PICTURE, None, "serves no model that takes pictures; it serves gpt-oss, whisper"),
        ((OSS,), TEXT, "other", "serves no model 'other'; it serves gpt-oss"),
        ((OSS, WHISPER), SPEECH, "gpt-oss", "'gpt-oss' is for chat and takes no speech"),
        ((OSS, Model("b", ("b",), "chat")), TEXT, None, "several models that take text: gpt-oss, b; name one"),
        ((), TEXT, None, "it serves none at all"),
    ],
)
def test_what_no_model_can_take(models: Any, request_: TraceRequest, default: str | None, why: str) -> None:
    with pytest.raises(TargetError, match=why):
        target(*models).model_for(request_, default)


def replica(name: str, pool: str, length: int | None = None, caches: bool = False) -> dict[str, Any]:
    return {"replica": name, "pool": pool, "max_model_len": length, "caches": caches}


def test_a_fleet_tells_its_models_and_replicas(serve: Serve) -> None:
    replicas = [replica("a1", "a", 1024), replica("b1", "b", 512, caches=True), replica("b2", "b")]
    told = {"name": "m", "aliases": ["x"], "task": "chat", "replicas": replicas}
    fleet = inspect(serve({"/fleet": {"models": [told]}}), {})
    assert fleet.models == (Model("m", ("m", "x"), "chat", 512, {"a1": "a", "b1": "b", "b2": "b"}),)
    assert fleet.caches == "on"


def test_names_of_a_foreign_endpoints_checkpoint_are_one_model(serve: Serve) -> None:
    cards = [{"id": "m", "root": "r", "max_model_len": 100}, {"id": "alias", "root": "r"}, {"id": "n", "root": None}]
    foreign = inspect(serve({"/v1/models": {"data": cards}}), {})
    assert foreign.models == (Model("m", ("m", "alias"), None, 100), Model("n", ("n",)))
    assert (foreign.caches, foreign.fleet) == ("unverified", None)


def test_nothing_to_ask_is_said(serve: Serve) -> None:
    with pytest.raises(TargetError, match="nothing answers at"):
        inspect(serve({}), {})
    with pytest.raises(TargetError, match="no replica runs; wait until GET /ready"):
        inspect(serve({"/fleet": {"models": [{"name": "m", "aliases": [], "task": "chat", "replicas": []}]}}), {})
