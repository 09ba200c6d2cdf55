"""`python -m loadtest.replay` as a user starts it, against fake engines behind the gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cluster.fleet import Fleet, Gateway, Model, Pool, Task
from deployments.engine.backend import backend
from deployments.engine.process import PROJECT_ROOT, free_port
from deployments.replica_info import ReplicaInfo
from tests.support.processes import (
    HOST,
    fake_engine,
    fake_pool,
    fake_spec,
    fault,
    gateway,
    process,
    replica_info,
    stats,
)

TIMEOUT_S = 90
FAST = {"prefill_tokens_per_s": 1_000_000, "decode_step_s": 0.001}


def command(url: str, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "loadtest.replay", "--endpoint", url, "--out", str(out), *options]


def replay(url: str, out: Path, *options: str, status: int = 0) -> tuple[dict[str, Any], pd.DataFrame]:
    """The summary, and the requests."""
    ended = subprocess.run(
        command(url, out, *options),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    return results(out)


def results(out: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    (run,) = out.iterdir()
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    return json.loads((run / "summary.json").read_text()), pd.read_parquet(run / "requests.parquet")


@contextmanager
def engine(model: str, pool: Pool, task: Task) -> Iterator[str]:
    """A fake engine that serves a model of that name, with its caches on."""
    port = free_port(HOST)
    spec = replace(fake_spec(pool, task), names=(model,))
    with process(backend("fake").command(spec, HOST, port), f"http://{HOST}:{port}/health"):
        yield f"http://{HOST}:{port}"


@contextmanager
def two_replicas(resume: bool = True, **fake: Any) -> Iterator[tuple[str, list[str]]]:
    """A gateway over two replicas of `m` in pools of their own, and the engines' addresses."""
    pools = [fake_pool("a", **{**FAST, **fake}), fake_pool("b", **{**FAST, **fake})]
    model = Model(name="m", task=Task.CHAT, checkpoint="virtual", pools=pools)
    fleet = Fleet(name="fakes", gateway=Gateway(port=0, resume=resume), models=[model])
    with ExitStack() as stack:
        urls = [stack.enter_context(fake_engine(pool, caches=True)) for pool in pools]
        told = [replica_info(url, pool, caches=True) for url, pool in zip(urls, pools, strict=True)]
        url, _ = stack.enter_context(gateway(fleet, told))
        yield url, urls


def test_every_request_is_asked_once_and_counted_truly(tmp_path: Path) -> None:
    with two_replicas() as (url, engines):
        trace = "shared-prefix:count=60,rate=60,groups=3,system=480,question=100,output=7"
        summary, requests = replay(url, tmp_path, "--trace", trace)
        seen = [stats(engine) for engine in engines]
    assert (summary["state"], summary["samples_answered"], summary["samples_failed"]) == ("complete", 60, 0)
    assert sorted(requests["number"]) == list(range(60))
    assert set(requests["input_tokens"]) == {580}
    assert set(requests["output_tokens"]) == {7}
    assert sum(one["accepted"] for one in seen) == sum(one["finished"] for one in seen) == 60
    assert sum(one["emitted_tokens"] for one in seen) == summary["latencies"]["output_tokens"] == 420
    cached = sum(one["hit_tokens"] for one in seen)
    assert cached == summary["latencies"]["cached_tokens"] == requests["cached_tokens"].sum()
    # Three groups on two replicas: at least 54 requests find the 480 tokens that another one left, all 30 blocks of 16.
    assert cached > 0
    assert set(requests["cached_tokens"]) <= {0, 480}, "groups share their system prompt and nothing else"
    answers = summary["replicas"]["m"]["answers"]
    assert sum(answers.values()) == 60
    assert requests.groupby("replica").size().to_dict() == {name: n for name, n in answers.items() if n}
    assert set(summary["by_model"]["m"]) == {"all", *requests["pool"]}
    assert summary["caches"] == "on"
    assert (summary["benchmark"], summary["traces"]) == ("shared-prefix", [trace])
    times = requests[["due_s", "sent_s", "first_token_s", "end_s"]].to_numpy()
    assert (times[:, :-1] <= times[:, 1:]).all()


def test_the_same_seed_asks_the_same_and_another_one_does_not(tmp_path: Path) -> None:
    with fake_engine(fake_pool(**FAST), caches=True, keyless=True) as url:
        options = ["--trace", "poisson:count=20,rate=100,input=160,output=3"]
        first, _ = replay(url, tmp_path / "1", *options)
        again, _ = replay(url, tmp_path / "2", *options)
        other, _ = replay(url, tmp_path / "3", *options, "--seed", "1")
    assert first["latencies"]["cached_tokens"] == other["latencies"]["cached_tokens"] == 0
    assert again["latencies"]["cached_tokens"] == 20 * 144, "all whole blocks but the one that holds the last token"


def test_a_mix_of_three_models(tmp_path: Path) -> None:
    tasks = {"oss": Task.CHAT, "vl": Task.VISION_CHAT, "whisper": Task.TRANSCRIPTION}
    pools = {name: fake_pool(**FAST, max_model_len=2048) for name in tasks}
    models = [Model(name=n, task=task, checkpoint="virtual", pools=[pools[n]]) for n, task in tasks.items()]
    fleet = Fleet(name="fakes", gateway=Gateway(port=0), models=models)
    with ExitStack() as stack:
        replicas: list[ReplicaInfo] = []
        for name, task in tasks.items():
            address = stack.enter_context(engine(name, pools[name], task))
            replicas.append(replica_info(address, pools[name], name, task, aliases=(), max_model_len=2048))
        url, _ = stack.enter_context(gateway(fleet, replicas))
        traces = [
            "model=oss:shared-prefix:count=20,rate=20,groups=2,system=3200,question=1600,output=80",
            "model=vl:images:count=10,rate=10,stock=3,most=2,sizes=640x480,output=40",
            "model=whisper:audio:count=10,rate=10,seconds=2",
        ]
        options = [word for trace in traces for word in ("--trace", trace)]
        summary, requests = replay(url, tmp_path, *options, "--scale", "0.1")
    assert (summary["samples_answered"], summary["samples_failed"]) == (40, 0), summary["reasons"]
    assert requests.groupby("model").size().to_dict() == {"oss": 20, "vl": 10, "whisper": 10}
    assert set(requests[requests["model"] == "oss"]["input_tokens"]) == {480}
    assert set(requests[requests["model"] == "vl"]["images"]) == {1, 2}
    assert set(requests[requests["model"] == "oss"]["output_tokens"]) == {8}
    assert requests[requests["model"] == "whisper"]["output_tokens"].gt(0).all()
    assert any("0.1 times those of the trace" in reason for reason in summary["reasons"])
    assert set(summary["by_model"]) == set(summary["replicas"]) == set(tasks)


def test_a_replica_that_dies_costs_nothing(tmp_path: Path) -> None:
    with two_replicas(decode_step_s=0.02) as (url, engines):
        fault(engines[0], die_after_tokens=3)
        summary, requests = replay(url, tmp_path, "--trace", "poisson:count=60,rate=60,input=100,output=20")
    assert (summary["samples_answered"], summary["samples_failed"]) == (60, 0), summary["reasons"]
    assert set(requests["output_tokens"]) == {20}, "what another replica continued is whole, and counted once"
    assert "a" in set(requests["pool"])
    assert requests.iloc[-1]["pool"] == "b"


def test_without_resumption_a_replica_that_dies_costs_only_what_it_was_saying(tmp_path: Path) -> None:
    with two_replicas(resume=False, decode_step_s=0.02) as (url, engines):
        fault(engines[0], die_after_tokens=3)
        summary, requests = replay(url, tmp_path, "--trace", "poisson:count=60,rate=60,input=100,output=20")
    assert summary["state"] == "complete"
    assert summary["samples_answered"] + summary["samples_failed"] == 60
    assert set(summary["failures"]) == {"cut stream"}
    assert 1 <= summary["failures"]["cut stream"] < 60
    failed = requests[requests["failure"].notna()]
    assert set(failed["pool"]) == {"a"}
    assert requests.iloc[-1]["pool"] == "b"
    assert any("the first failure: cut stream" in reason for reason in summary["reasons"])
    assert summary["latencies"]["failed"] == len(failed)


def test_refusals_are_counted_by_status(tmp_path: Path) -> None:
    with two_replicas() as (url, engines):
        for address in engines:
            fault(address, fail_next=10_000, status=400)
        summary, _ = replay(url, tmp_path, "--trace", "poisson:count=10,rate=50,input=50", status=1)
    assert summary["failures"] == {"400": 10}
    assert (summary["value"], summary["latencies"]["ttft_s"]) == (0.0, None)


def test_requests_leave_whatever_the_answers_do(tmp_path: Path) -> None:
    with fake_engine(fake_pool(**FAST), keyless=True) as url:
        fault(url, stall_s=60)
        options = ["--trace", "poisson:count=50,rate=100,input=50", "--timeout", "4", "--route", "completions"]
        summary, requests = replay(url, tmp_path, *options, status=1)
    assert summary["failures"] == {"timeout": 50}
    assert requests["sent_s"].max() < requests["end_s"].min()


def test_a_cap_on_what_is_in_flight_makes_requests_late_and_says_so(tmp_path: Path) -> None:
    with fake_engine(fake_pool(**FAST), keyless=True) as url:
        fault(url, stall_s=0.2)
        options = ["--trace", "poisson:count=12,rate=1000,input=50,output=2", "--max-in-flight", "3"]
        summary, requests = replay(url, tmp_path, *options)
    assert summary["samples_answered"] == 12
    assert any("as many as allowed were in flight" in reason for reason in summary["reasons"])
    for sent in requests["sent_s"]:
        assert ((requests["sent_s"] < sent) & (requests["end_s"] > sent)).sum() < 3


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_it_with_what_there_is(tmp_path: Path, number: signal.Signals) -> None:
    with fake_engine(fake_pool(**{**FAST, "decode_step_s": 0.02}), keyless=True) as url:
        running = subprocess.Popen(
            command(url, tmp_path, "--trace", "poisson:count=5000,rate=20,input=50,output=20"),
            cwd=PROJECT_ROOT,
            env=os.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert running.stderr is not None
        while " 0 of 5000" in (line := running.stderr.readline()) or "of 5000" not in line:
            assert line, "it ended by itself"
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)
        assert running.returncode == 130, errors
        summary, requests = results(tmp_path)
        assert stats(url)["running"] == 0
    assert "what was measured is kept" in errors
    assert summary["state"] == "partial (interrupted)"
    assert 0 < len(requests) == summary["samples_answered"] < 5000
    assert summary["samples_answered"] + summary["samples_unfinished"] == summary["samples_issued"]
    assert summary["samples_issued"] + summary["samples_not_sent"] == 5000


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--trace", "poisson", "--endpoint", "http://127.0.0.1:1"], "nothing answers at http://127.0.0.1:1/v1/models"),
        (["--trace", "nothing", "--endpoint", "http://127.0.0.1:1"], "'nothing' is neither a file nor one of"),
    ],
)
def test_what_cannot_be_run_is_said_and_leaves_nothing(tmp_path: Path, options: list[str], why: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "loadtest.replay", "--out", str(tmp_path / "out"), *options],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 2
    assert f"error: {why}" in ended.stderr
    assert not (tmp_path / "out").exists()
