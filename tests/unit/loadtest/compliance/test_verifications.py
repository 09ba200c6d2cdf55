from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.base import Score
from loadtest.benchmarks.gpt_oss import encode_tokens
from loadtest.command import Refused
from loadtest.compliance import test01, test07, test09
from loadtest.compliance.__main__ import VERIFICATIONS, main
from loadtest.compliance.audit import AUDITS, TEST07, TEST09
from loadtest.compliance.evidence import Evidence

FAST = {"effective_scenario": "Offline", "result_samples_per_second": 100.0, "result_validity": "VALID"}


def folder(path: Path, answers: list[tuple[int, bytes]], log: Mapping[str, object] = FAST) -> Path:
    path.mkdir()
    entries = [{"seq_id": n, "qsl_idx": index, "data": data.hex()} for n, (index, data) in enumerate(answers)]
    (path / "mlperf_log_accuracy.json").write_text(json.dumps(entries))
    lines = [{"key": key, "value": value, "metadata": {}} for key, value in log.items()]
    (path / "mlperf_log_detail.txt").write_text("".join(f":::MLLOG {json.dumps(line)}\n" for line in lines))
    return path


def share_of_a(answers: Mapping[int, bytes]) -> Score:
    """The more answers are `a`, the better."""
    return Score("m", 100 * sum(data == b"a" for data in answers.values()) / len(answers), "%")


def evidence(tmp_path: Path, answers: list[tuple[int, bytes]], log: Mapping[str, object] = FAST) -> Evidence:
    return Evidence(
        run=folder(tmp_path / "run", answers, log),
        score=share_of_a,
        accuracy=folder(tmp_path / "accuracy", [(index, b"a") for index in range(200)]),
        performance=folder(tmp_path / "performance", []),
    )


def test_identical_answers_at_the_same_speed_pass_test01(tmp_path: Path) -> None:
    found = test01.verify(evidence(tmp_path, [(3, b"a"), (7, b"a"), (3, b"a")]))
    assert found.passed
    assert "TEST PASS" in found.files["verify_accuracy.txt"]
    assert "TEST PASS" in found.files["verify_performance.txt"]
    assert set(found.files) == {"verify_accuracy.txt", "verify_performance.txt"}


@pytest.mark.parametrize(("differing", "passed"), [(1, True), (2, False), (3, False)])
def test_answers_that_differ_pass_where_the_accuracy_is_within_a_percent(
    differing: int, passed: bool, tmp_path: Path
) -> None:
    answers = [(index, b"b" if index < differing else b"a") for index in range(200)]
    found = test01.verify(evidence(tmp_path, answers))
    assert found.passed == passed
    assert "TEST FAIL" in found.files["verify_accuracy.txt"], "they are not identical"
    assert "accuracy=100.0%" in found.files["accuracy/baseline_accuracy.txt"]
    assert f"accuracy={100 - differing / 2}%" in found.files["accuracy/compliance_accuracy.txt"]
    assert found.files["accuracy/accuracy.txt"].startswith(found.files["accuracy/compliance_accuracy.txt"])
    assert "\nhash=" in found.files["accuracy/accuracy.txt"]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ({"result_samples_per_second": 89.0}, "Test score = 89.0"),
        ({"result_samples_per_second": 111.0}, "Test score = 111.0"),
        ({"result_validity": "INVALID"}, "INVALID: the test run"),
        ({"effective_scenario": "Server"}, "different scenarios"),
    ],
)
def test_another_speed_fails_test01(log: dict[str, object], said: str, tmp_path: Path) -> None:
    found = test01.verify(evidence(tmp_path, [(3, b"a")], FAST | log))
    assert not found.passed
    assert said in found.files["verify_performance.txt"]
    assert "TEST FAIL" in found.files["verify_performance.txt"]


def test_answers_that_the_accuracy_run_does_not_know_prove_nothing(tmp_path: Path) -> None:
    assert not test01.verify(evidence(tmp_path, [(999, b"a")])).passed
    with pytest.raises(Refused, match="--accuracy-run"):
        test01.verify(Evidence(tmp_path / "run", share_of_a))


@pytest.mark.parametrize(("right", "passed"), [(61, True), (60, False)])
def test_test07_asks_for_its_threshold(right: int, passed: bool, tmp_path: Path) -> None:
    answers = [(index, b"a" if index < right else b"b") for index in range(100)]
    found = test07.verify(Evidence(folder(tmp_path / "run", answers), share_of_a))
    text = found.files["verify_accuracy.txt"]
    assert (found.passed, "TEST PASS" in text, "TEST FAIL" in text) == (passed, passed, not passed)
    assert f"'exact_match': {float(right)}" in text
    assert str(TEST07.thresholds["test07_accuracy_threshold"]) in text


@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=20))
def test_test09_counts_every_token(lengths: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    answers = [(index, encode_tokens(list(range(length)))) for index, length in enumerate(lengths)]
    run = folder(tmp_path_factory.mktemp("test09") / "run", answers)
    found = test09.verify(Evidence(run, share_of_a))
    mean = sum(lengths) / len(lengths)
    least, most = TEST09.thresholds.values()
    assert found.passed == (least <= mean <= most)
    assert f"Mean output tokens: {mean:.2f}" in found.files["verify_output_len.txt"]
    assert ("TEST PASS" in found.files["verify_output_len.txt"]) == found.passed


def test_every_test_has_its_verification() -> None:
    assert VERIFICATIONS.keys() == AUDITS.keys()


def test_audit_config_asks_for_no_more_queries_than_there_are_samples() -> None:
    assert "*.*.min_query_count = 990\n" in TEST07.config(990)
    assert "*.*.min_query_count = 20\n" in TEST07.config(20)
    assert "*.*.performance_issue_unique = 1\n" in TEST07.config(990)
    assert "min_query_count" not in AUDITS["TEST01"].config(5)


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--test", "TEST07", "--benchmark", "whisper"]) == 2
    assert main(["--test", "TEST01"]) == 2
    assert main(["--test", "TEST09", "--verify", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    for said in ("TEST07 is a test of gpt-oss", "give --accuracy-run DIR", "summary.json"):
        assert said in told
