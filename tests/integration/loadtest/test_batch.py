"""`python -m loadtest.batch` as a user starts it, against a fake engine behind the gateway: each line exactly once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.fleet import Limits, Tenant
from cluster.keys import digest
from tests.support.commands import TIMEOUT_S, exit_of, start
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info
from tests.support.recording_proxy import recording_proxy

LINES = 800
MOST_BETWEEN = 39
"""Lines between two kills amid answers: so many that some are left after the last one."""

PER_MINUTE = 120
KEY = "the-key-of-this-tests-tenant"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pool = fake_pool(slots=8, prefill_tokens_per_s=1e6, decode_step_s=0.01)
    with (
        fake_engine(pool, caches=True) as engine,
        gateway(fake_fleet(pool), [replica_info(engine, pool, caches=True)]) as (address, _),
    ):
        yield address


def write(file: Path, lines: int = LINES, **changes: Any) -> Path:
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": f"question {n}"}], "max_tokens": 12, "temperature": 0}
        for n in range(lines)
    ]
    file.write_text(
        "".join(
            json.dumps({"custom_id": f"q{n}", "method": "POST", "url": "/v1/chat/completions", "body": body | changes})
            + "\n"
            for n, body in enumerate(bodies)
        )
    )
    return file


def batch(cluster: str, source: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    return start("loadtest.batch", "--input", str(source), "--output", str(out), *options, ray=cluster)


def answers(out: Path) -> list[dict[str, Any]]:
    file = out / "output.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_each_line_is_answered_exactly_once_however_often_the_batch_is_killed(
    kills: int, cluster: str, url: str, tmp_path: Path
) -> None:
    """Every fourth kill comes at a random time after the start, the others amid answers."""
    source, out, draw = write(tmp_path / "in.jsonl"), tmp_path / "out", random.Random(7)
    progress = [0]
    for kill in range(kills):
        running = batch(cluster, source, out, "--endpoint", url)
        if kill % 4 == 0:
            time.sleep(draw.uniform(0, 2))
        else:
            wanted = min(LINES, progress[-1] + draw.randint(1, MOST_BETWEEN))
            deadline = time.monotonic() + TIMEOUT_S
            while len(lines_of(out)) < wanted and time.monotonic() < deadline:
                time.sleep(draw.uniform(0, 0.01))
        running.kill()
        _, output = exit_of(running)
        assert running.returncode == -signal.SIGKILL, output
        progress.append(len(lines_of(out)))
    assert sorted(progress) == progress, "nothing that was answered is ever lost"
    assert 0 < progress[-1] < LINES
    code, output = exit_of(batch(cluster, source, out, "--endpoint", url))
    assert code == 0, output
    found = answers(out)
    assert sorted(one["custom_id"] for one in found) == sorted(f"q{n}" for n in range(LINES))
    assert all(one["response"]["status_code"] == 200 and one["error"] is None for one in found)
    assert {one["response"]["body"]["usage"]["completion_tokens"] for one in found} == {12}
    assert (out / "errors.jsonl").read_text() == ""
    assert f"{LINES} of {LINES} lines answered" in output


def lines_of(out: Path) -> list[bytes]:
    """Whole lines, whatever the driver is writing."""
    file = out / "output.jsonl"
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def test_a_batch_of_a_fleet_on_this_machine_shows_a_proxy_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Ray of its own, whose workers have the same environment."""
    source, out = write(tmp_path / "in.jsonl", lines=8), tmp_path / "out"
    with recording_proxy() as proxy:
        proxy.set_in(monkeypatch)
        code, output = exit_of(batch("local", source, out, "--endpoint", url, "--api-key", KEY))
    assert (code, len(answers(out))) == (0, 8), output
    # Ray itself asks through it which cloud it is in.
    received = b"".join(proxy.received)
    assert (url.removeprefix("http://").encode() in received, KEY.encode() in received) == (False, False)


def test_failures_have_their_own_file_and_can_be_tried_again(cluster: str, url: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", lines=10), tmp_path / "out"
    lines = source.read_text().splitlines()
    broken = json.loads(lines[3])
    broken["body"]["max_tokens"] = -1
    source.write_text("\n".join([*lines[:3], json.dumps(broken), *lines[4:]]) + "\n")
    code, output = exit_of(batch(cluster, source, out, "--endpoint", url))
    assert (code, "9 of 10 lines answered" in output) == (1, True), output
    (failure,) = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert (failure["custom_id"], failure["error"], failure["response"]["status_code"]) == ("q3", None, 400)
    assert failure["response"]["request_id"]
    assert "max_tokens" in failure["response"]["body"]["error"]["message"]
    code, output = exit_of(batch(cluster, source, out, "--endpoint", url, "--retry-failed"))
    assert code == 1
    assert len((out / "errors.jsonl").read_text().splitlines()) == 1
    assert len(answers(out)) == 9


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interruption_is_orderly(number: signal.Signals, cluster: str, url: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", max_tokens=200, ignore_eos=True), tmp_path / "out"
    running = batch(cluster, source, out, "--endpoint", url)
    while not lines_of(out):
        assert running.poll() is None
        time.sleep(0.02)
    code, output = exit_of(batch(cluster, source, out, "--endpoint", url))
    assert (code, "another process works in" in output) == (2, True), output
    running.send_signal(number)
    code, output = exit_of(running)
    assert (code, "the same command goes on" in output) == (130, True), output
    assert 0 < len(answers(out)) < LINES


@pytest.mark.slow
def test_a_limit_of_the_tenant_slows_a_batch_down_and_fails_nothing(cluster: str, tmp_path: Path) -> None:
    limited = Tenant(name="t", key_sha256=[digest(KEY)], limits=Limits(requests_per_minute=PER_MINUTE))
    pool = fake_pool(slots=8, prefill_tokens_per_s=1e6, decode_step_s=0.001)
    fleet = fake_fleet(pool).model_copy(update={"tenants": [limited]})
    source, out = write(tmp_path / "in.jsonl", lines=PER_MINUTE + 8), tmp_path / "out"
    with fake_engine(pool) as engine, gateway(fleet, [replica_info(engine, pool)]) as (address, _):
        code, output = exit_of(batch(cluster, source, out, "--endpoint", address, "--api-key", KEY))
    assert code == 0, output
    assert len(answers(out)) == PER_MINUTE + 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"model": "gpt-5"}, "serves no model 'gpt-5'; it serves alias, m"), ({"stream": True}, "stream is set")],
)
def test_what_cannot_be_asked_is_refused_before_anything_is(
    changes: dict[str, Any], said: str, cluster: str, url: str, tmp_path: Path
) -> None:
    code, output = exit_of(
        batch(cluster, write(tmp_path / "in.jsonl", 3, **changes), tmp_path / "out", "--endpoint", url)
    )
    assert (code, said in output) == (2, True), output
    assert not lines_of(tmp_path / "out")
    with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
        assert answer.status == 200
