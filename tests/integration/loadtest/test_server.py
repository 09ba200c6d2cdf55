"""`python -m loadtest.server` and `loadtest.interactive` against fake engines behind the gateway."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.fleet import Task
from loadtest.benchmarks.gpt_oss import decode_tokens
from loadtest.loadgen.log import find_log, read_accuracy_log, read_values
from loadtest.loadgen.rounds import SEEDS, Round
from tests.support.commands import end, run, start
from tests.support.fake_prompts import write_prompts
from tests.support.processes import fake_engine, fake_fleet, fake_pool, fault, gateway, replica_info, stats

FAST = {"prefill_tokens_per_s": 1e6, "decode_step_s": 0.005, "tokens_per_answer": 20}
SAMPLES = 128


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.parquet"
    write_prompts(file, SAMPLES)
    return file


@contextmanager
def fleet(task: Task = Task.CHAT, mlperf: bool = True, **fake: Any) -> Iterator[tuple[str, list[str]]]:
    """A gateway over one fake of each vendor, and the engines' addresses."""
    pools = [fake_pool(vendor, vendor=vendor, **{**FAST, **fake}) for vendor in ("nvidia", "amd")]
    with ExitStack() as stack:
        engines = [stack.enter_context(fake_engine(pool, task)) for pool in pools]
        told = [replica_info(url, pool, task=task) for url, pool in zip(engines, pools, strict=True)]
        url, _ = stack.enter_context(gateway(fake_fleet(*pools, task=task, mlperf=mlperf), told))
        yield url, engines


@pytest.fixture(scope="module")
def fast() -> Iterator[str]:
    with fleet() as (url, _):
        yield url


def of(url: str, prompts: Path, qps: float = 50) -> list[str]:
    return ["--benchmark", "gpt-oss", "--endpoint", url, "--data", str(prompts), "--quick", "--target-qps", str(qps)]


@pytest.mark.parametrize("named", list(Round))
def test_a_run_over_two_vendors_is_an_ordinary_run(named: Round, fast: str, prompts: Path, tmp_path: Path) -> None:
    ended = run("loadtest.server", tmp_path, *of(fast, prompts), "--round", named)
    summary = ended.summary
    assert (ended.code, summary["verdict"]) == (0, "VALID"), ended.output
    assert (summary["scenario"], summary["round"], summary["metric"]) == ("Server", named, "tokens/s")
    assert (summary["samples_issued"], summary["samples_answered"]) == (SAMPLES, SAMPLES)
    assert summary["tokens"] == 20 * SAMPLES
    assert set(summary["answered_by_pool"]) == {"nvidia", "amd"}
    assert set(summary["answered_by_replica"]) == {replica["replica"] for replica in replicas(summary)}
    log = read_values(find_log(ended.folder, "detail.txt"))
    assert log["effective_schedule_rng_seed"] == SEEDS[named].schedule
    assert log["effective_sample_index_rng_seed"] == SEEDS[named].sample_index
    assert log["num_errors"] == 0
    assert find_log(ended.folder, "detail.txt").name.startswith("quick_")
    assert any("a quick run" in told for told in summary["not_submittable_because"])


def replicas(summary: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = summary["fleet"]["models"][0]["replicas"]
    return found


def test_what_loadgen_measured_is_what_the_client_saw(fast: str, prompts: Path, tmp_path: Path) -> None:
    ended = run("loadtest.server", tmp_path, *of(fast, prompts, qps=40))
    samples = ended.samples
    order = samples[["due", "started", "first", "finished"]].to_numpy()
    assert (order[:, :-1] <= order[:, 1:] + 0.001).all()
    assert sorted(samples["place"]) == list(range(SAMPLES))
    assert sorted(samples["index"]) == list(range(SAMPLES)), "one pass asks every sample once"
    log = read_values(find_log(ended.folder, "detail.txt"))
    e2e = samples["finished"] - samples["due"]
    assert np.median(e2e) == pytest.approx(log["result_50.00_percentile_latency_ns"] / 1e9, abs=0.01)
    ttft = samples["first"] - samples["due"]
    assert np.median(ttft) == pytest.approx(log["result_first_token_50.00_percentile_latency_ns"] / 1e9, abs=0.01)
    tpot = (samples["finished"] - samples["first"]) / (samples["tokens"] - 1)
    assert np.median(tpot) == pytest.approx(log["result_time_per_output_token_50.00_percentile_ns"] / 1e9, rel=0.1)
    assert ended.summary["latency"]["lateness_s"]["p50"] < 0.01


@pytest.mark.parametrize(
    ("fake", "broken", "reason"),
    [
        ({"decode_step_s": 0.1}, {}, "TPOT p99 is 0.1"),
        pytest.param({}, {"stall_s": 3.2}, "TTFT p99 is 3.", marks=pytest.mark.slow),
        pytest.param(
            {},
            {"fail_next": 3, "status": 400},
            "3 samples were not answered, the first with: status 400",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_broken_limit_makes_it_invalid(
    fake: dict[str, Any], broken: dict[str, Any], reason: str, prompts: Path, tmp_path: Path
) -> None:
    with fleet(**fake) as (url, engines):
        for engine in engines if broken else ():
            fault(engine, **(broken if "fail_next" not in broken or engine == engines[0] else {"fail_next": 0}))
        ended = run("loadtest.server", tmp_path, *of(url, prompts))
    assert (ended.code, ended.summary["verdict"]) == (1, "INVALID"), ended.output
    assert any(told.startswith(reason) for told in ended.summary["reasons"]), ended.summary["reasons"]


@pytest.mark.slow
def test_a_picture_answered_after_its_limit_makes_it_invalid(tmp_path: Path) -> None:
    """Qwen3-VL's Server limit is of the whole answer: 12 s."""
    with fleet(Task.VISION_CHAT) as (url, engines):
        for engine in engines:
            fault(engine, stall_s=12.1)
        options = ["--benchmark", "qwen3-vl", "--endpoint", url, "--quick", "--target-qps", "100"]
        ended = run("loadtest.server", tmp_path, *options)
    assert (ended.code, ended.summary.get("verdict")) == (1, "INVALID"), ended.output
    reasons = ended.summary["reasons"]
    assert any(told.startswith("E2E p99 is ") and told.endswith("limit 12 s") for told in reasons), reasons
    assert not any("TPOT" in told for told in reasons)
    assert ended.summary["latency"]["e2e_s"]["p99"] > 12


@pytest.mark.slow
def test_answers_that_never_end_are_failures_and_not_latencies(prompts: Path, tmp_path: Path) -> None:
    with fleet() as (url, engines):
        fault(engines[0], cut_after_tokens=5)
        for engine in engines:
            fault(engine, hang=True)
        ended = run("loadtest.server", tmp_path, *of(url, prompts, qps=400), "--timeout", "3")
    assert ended.code == 2
    assert "samples failed, the last with: no whole answer within 3 s" in ended.output
    assert (ended.summary["state"], "verdict" in ended.summary) == ("failed", False)


@pytest.mark.slow
def test_interactive_is_the_tighter_one(prompts: Path, tmp_path: Path) -> None:
    with fleet(decode_step_s=0.025) as (url, _):
        server = run("loadtest.server", tmp_path / "1", *of(url, prompts))
        interactive = run("loadtest.interactive", tmp_path / "2", *of(url, prompts))
    assert server.summary["verdict"] == "VALID", server.output
    assert interactive.summary["verdict"] == "INVALID"
    assert interactive.summary["loadgen_model"] == "gpt-oss-120b-interactive"
    assert any("TPOT" in told and "limit 0.015 s" in told for told in interactive.summary["reasons"])


@pytest.mark.slow
def test_a_lost_replica_costs_no_answer(prompts: Path, tmp_path: Path) -> None:
    with fleet(decode_step_s=0.02) as (url, engines):
        running = start("loadtest.server", "--out", str(tmp_path), *of(url, prompts, qps=30))
        time.sleep(4)
        fault(engines[0], die_after_tokens=3)
        ended = end(running, tmp_path)
    assert ended.summary["samples_answered"] == SAMPLES, ended.output
    assert ended.summary["verdict"] == "VALID"
    assert ended.summary["tokens"] == 20 * SAMPLES, "what another replica continued is whole"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_ended_does_not_look_whole(
    number: signal.Signals, fast: str, prompts: Path, tmp_path: Path
) -> None:
    running = start("loadtest.server", "--out", str(tmp_path), *of(fast, prompts, qps=5))
    assert running.stdout is not None
    while "issued" not in running.stdout.readline():
        assert running.poll() is None
    running.send_signal(number)
    ended = end(running, tmp_path)
    if number is signal.SIGKILL:
        assert not (ended.folder / "summary.json").exists()
    else:
        assert ended.code == 130, ended.output
        assert (ended.summary["state"], ended.summary.get("value")) == ("interrupted", None)
        assert 0 < ended.summary["samples_answered"] < SAMPLES


def test_an_accuracy_run_goes_on_where_it_was_killed(prompts: Path, tmp_path: Path) -> None:
    with fleet() as (url, engines):
        options = [*of(url, prompts, qps=30), "--mode", "accuracy"]
        running = start("loadtest.server", "--out", str(tmp_path), *options)
        assert running.stdout is not None
        while "issued" not in running.stdout.readline():
            assert running.poll() is None
        running.kill()
        running.wait()
        folder = end(running, tmp_path).folder
        before = asked(engines)
        ended = run("loadtest.server", tmp_path, *options, "--resume", str(folder))
        again = asked(engines) - before
    assert ended.code == 0, ended.output
    assert ended.folder == folder
    assert 0 < again < SAMPLES
    answers = dict(read_accuracy_log(find_log(folder, "accuracy.json")))
    assert sorted(answers) == list(range(SAMPLES))
    assert {len(decode_tokens(data)) for data in answers.values()} == {20}
    assert 0 < ended.samples["due"].count() <= again, "an answer of the earlier try has no place in this one's schedule"
    assert 0 < ended.summary["latency"]["e2e_s"]["p99"] < 60


def asked(engines: list[str]) -> int:
    return sum(stats(engine)["finished"] for engine in engines)


@pytest.mark.slow
def test_the_peak_is_found_and_its_ladder_told(tmp_path: Path) -> None:
    prompts = tmp_path / "few.parquet"
    write_prompts(prompts, 64)
    out = tmp_path / "out"
    # A fake's step takes 4 ms and 2 more for each sequence: beyond five at once no token comes within 15 ms.
    with fleet(decode_step_s=0.004, decode_step_per_sequence_s=0.002) as (url, _):
        options = ["--benchmark", "gpt-oss", "--endpoint", url, "--data", str(prompts), "--quick", "--find-peak"]
        ended = run("loadtest.interactive", out, *options, "--target-qps", "20")
        again = run("loadtest.interactive", out, *options, "--target-qps", "20")
    assert (ended.code, again.code) == (0, 0), ended.output
    ladder = json.loads((ended.folder / "ladder.json").read_text())["rungs"]
    held = [rung["target_qps"] for rung in ladder if rung["valid"]]
    failed = [rung["target_qps"] for rung in ladder if not rung["valid"]]
    assert failed, "the search ends between a rate that held and one that did not"
    peak = max(rate for rate in held if rate < min(failed))
    assert min(failed) <= peak * 1.03
    assert f"highest rate that is VALID: {peak:g} queries/s" in ended.output
    assert f"highest rate that is VALID: {peak:g} queries/s" in again.output
    assert "trying" not in again.output, "a search that is over is not begun anew"


def test_what_cannot_be_run_is_refused(fast: str, prompts: Path, tmp_path: Path) -> None:
    common = ["--endpoint", fast, "--data", str(prompts)]
    ended = run("loadtest.server", tmp_path, "--benchmark", "gpt-oss", *common)
    assert (ended.code, "give --target-qps RATE" in ended.output) == (2, True)
    ended = run("loadtest.interactive", tmp_path, "--benchmark", "whisper", *common, "--target-qps", "1")
    assert (ended.code, "whisper has no MLPerf scenario Interactive; it has offline" in ended.output) == (2, True)


def test_caches_stop_an_official_run(prompts: Path, tmp_path: Path) -> None:
    pool = fake_pool("nvidia", **FAST)
    with fake_engine(pool, caches=True) as engine:
        told = [replica_info(engine, pool, caches=True), replica_info(engine, pool, replica="b", incarnation="b")]
        with gateway(fake_fleet(pool), told) as (url, _):
            options = ["--benchmark", "gpt-oss", "--endpoint", url, "--data", str(prompts), "--target-qps", "10"]
            ended = run("loadtest.server", tmp_path, *options)
    assert ended.code == 2
    assert "reuse work between queries" in ended.output
    assert told[0].replica in ended.output
    assert not list(tmp_path.iterdir()), "nothing was measured"
