from __future__ import annotations

from typing import Any

import pytest

from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.endpoint import TargetError
from loadtest.seat import Seat
from loadtest.target import ForeignLoad, inspect
from tests.support.pages import Serve


def replica(
    name: str,
    caches: bool = False,
    length: int | None = 1024,
    checkpoint: str = "/here/gpt-oss",
    revision: str = "b5c9",
) -> dict[str, Any]:
    return {
        "replica": name,
        "pool": "nvidia",
        "url": f"http://{name}",
        "slots": 16,
        "caches": caches,
        "max_model_len": length,
        "checkpoint": checkpoint,
        "revision": revision,
    }


def model(name: str, *replicas: dict[str, Any], task: str = "chat") -> dict[str, Any]:
    return {
        "name": name,
        "aliases": [f"{name}-alias"],
        "task": task,
        "checkpoint": "openai/gpt-oss-120b",
        "revision": "b5c9",
        "replicas": list(replicas),
    }


def fleet(*models: dict[str, Any]) -> dict[str, Any]:
    return {"/fleet": {"fleet": "f", "mlperf": True, "models": list(models)}}


def test_a_fleet_proves_its_caches_off(serve: Serve) -> None:
    url = serve(
        fleet(model("speech", replica("w"), task="transcription"), model("m", replica("a"), replica("b", length=512)))
    )
    target = inspect(url, GptOss(), None, ForeignLoad())
    assert (target.served.name, target.served.max_model_len) == ("m", 512)
    assert target.seats == (Seat("a", 32), Seat("b", 32))
    assert (target.caches, target.offenders, target.revision) == ("off", (), "b5c9")
    target.refuse_offenders()


def test_a_replica_with_caches_is_named_and_refused(serve: Serve) -> None:
    url = serve(fleet(model("m", replica("good"), replica("bad", caches=True))))
    target = inspect(url, GptOss(), None, ForeignLoad())
    assert target.caches == "on"
    with pytest.raises(TargetError, match=r"bad \(pool nvidia, http://bad\)") as refused:
        target.refuse_offenders()
    assert "good" not in str(refused.value)


def test_replicas_of_another_checkpoint_are_named_and_refused(serve: Serve) -> None:
    same = replica("same", checkpoint="/elsewhere/gpt-oss")
    others = [replica("weights", checkpoint="/here/gpt-oss-fp4"), replica("revision", revision="c6d0")]
    target = inspect(serve(fleet(model("m", replica("first"), same, *others))), GptOss(), None, ForeignLoad())
    assert len(target.differing) == 2
    with pytest.raises(TargetError, match="another checkpoint") as refused:
        target.refuse_offenders()
    assert "weights (pool nvidia" in str(refused.value)
    assert "revision (pool nvidia, http://revision): /here/gpt-oss at c6d0" in str(refused.value)
    assert "same" not in str(refused.value)


def test_a_foreign_endpoint_proves_nothing(serve: Serve) -> None:
    url = serve({"/v1/models": {"data": [{"id": "m", "max_model_len": 4096, "root": "org/x"}]}})
    target = inspect(url, GptOss(), None, ForeignLoad(pullers=3, window=8))
    assert target.caches == "unverified"
    assert [seat.window for seat in target.seats] == [8, 8, 8]
    assert (target.served.max_model_len, target.checkpoint, target.fleet) == (4096, "org/x", None)


def test_names_of_one_checkpoint_are_one_model(serve: Serve) -> None:
    same = serve({"/v1/models": {"data": [{"id": "m", "root": "x"}, {"id": "alias", "root": "x"}]}})
    assert inspect(same, GptOss(), None, ForeignLoad()).served.name == "m"
    for root in ("y", None):
        other = serve({"/v1/models": {"data": [{"id": "m", "root": root}, {"id": "n", "root": root and "x"}]}})
        with pytest.raises(TargetError, match="several models"):
            inspect(other, GptOss(), None, ForeignLoad())


def test_a_model_by_alias_and_several_to_choose_from(serve: Serve) -> None:
    url = serve(fleet(model("m", replica("a")), model("n", replica("b"))))
    assert inspect(url, GptOss(), "n-alias", ForeignLoad()).served.name == "n"
    with pytest.raises(TargetError, match="name one with --model: m, n"):
        inspect(url, GptOss(), None, ForeignLoad())
    with pytest.raises(TargetError, match="serves no model 'other'; it serves m, n"):
        inspect(url, GptOss(), "other", ForeignLoad())


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        (fleet(model("m")), "no running replica"),
        (fleet(model("m", replica("a"), task="transcription")), "no model for chat"),
        ({}, "nothing answers at"),
        ({"/fleet": b"<html>"}, "gives no JSON"),
        ({"/fleet": [1]}, "no JSON object"),
    ],
)
def test_what_cannot_be_measured_says_why(serve: Serve, pages: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        inspect(serve(pages), GptOss(), None, ForeignLoad())
