"""The toys' training scripts, and the small prompts, both of which need the real Harmony vocabulary."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from cluster.checkpoints.training import digits, sums
from cluster.checkpoints.training.arguments import BadInput, read_digits, read_pairs, read_rows
from cluster.checkpoints.vendored import DATA
from loadtest.benchmarks.embedded import raw_data
from loadtest.data.small import make_small

DIGITS, HELD_OUT = raw_data("digits") / "digits.csv.gz", raw_data("digits") / "held_out_idx.json"
PAIRS = raw_data("sums") / "held_out_pairs.json"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"cluster.checkpoints.training.{script}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@torch.no_grad()
@pytest.mark.slow
def test_by_their_own_measure_the_shipped_digits_are_what_is_said_of_them() -> None:
    table = read_digits(DIGITS)
    model = digits.untrained_model()
    shipped = load_file(DATA / "tiny-qwen3vl-digits" / "model.safetensors")
    turned = {name: t.transpose(1, 2) if name.endswith(digits.EXPERTS) else t for name, t in shipped.items()}
    own = model.state_dict()
    model.load_state_dict({name: turned.get(name, tensor) for name, tensor in own.items()})
    assert sum(name in turned for name in own) >= len(own) - 1  # all but the tied output layer
    examples = digits.Examples(table)
    assert examples.share_right(model.eval(), read_rows(HELD_OUT, len(table))) == pytest.approx(354 / 360)


@torch.no_grad()
@pytest.mark.slow
def test_by_their_own_measure_the_shipped_sums_are_what_is_said_of_them() -> None:
    shipped = load_file(DATA / "tiny-gpt-oss-sums" / "compact.safetensors")
    used = shipped.pop("used_ids").tolist()
    model = sums.small_model(len(used))
    model.load_state_dict({name: tensor.float() for name, tensor in shipped.items()})
    place = {token: row for row, token in enumerate(used)}
    examples = sums.Examples(seed=0)
    test = sums.padded([examples.make(pair, sums.QUESTIONS[0]) for pair in read_pairs(PAIRS)[:250]], place)
    assert sums.share_exact(model.eval(), test) > 0.99


@pytest.mark.slow
def test_a_few_steps_give_a_checkpoint_of_the_shipped_form(tmp_path: Path) -> None:
    done = run("digits", "--digits", DIGITS, "--held-out", HELD_OUT, "--out", tmp_path / "digits", "--steps", 2)
    assert done.returncode == 0, done.stderr
    assert "held-out accuracy" in done.stdout
    shipped = DATA / "tiny-qwen3vl-digits"
    assert {file.name for file in (tmp_path / "digits").iterdir()} == {file.name for file in shipped.iterdir()}
    new, old = (load_file(folder / "model.safetensors") for folder in (tmp_path / "digits", shipped))
    assert {name: tensor.shape for name, tensor in new.items()} == {name: tensor.shape for name, tensor in old.items()}


@pytest.mark.slow
def test_sums_likewise(tmp_path: Path) -> None:
    few = tmp_path / "few.json"
    few.write_text(json.dumps(read_pairs(PAIRS)[:10]))
    done = run("sums", "--held-out", few, "--out", tmp_path / "new.safetensors", "--steps", 2)
    assert done.returncode == 0, done.stderr
    new = load_file(tmp_path / "new.safetensors")
    old = load_file(DATA / "tiny-gpt-oss-sums" / "compact.safetensors")
    assert new.keys() == old.keys()
    assert set(old["used_ids"].tolist()) <= set(new["used_ids"].tolist())
    assert {new[name].dtype for name in new} == {old[name].dtype for name in old}


def test_every_sum_is_reasoned_rightly() -> None:
    for a, b in sums.PAIRS:
        text = sums.reasoning(a, b)
        assert text.endswith(f" = {a + b}")
        assert eval(text.partition(". ")[2].partition(" = ")[0]) == a % 10 + b % 10
        assert int("".join(text.partition(" is ")[2].partition("So ")[2].partition(" is ")[2].split()[:3])) == a + b


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1, 2], [1, 2]]", "different pairs"),
        ("[[1, 100]]", "different pairs"),
        ("[[1, 2, 3]]", "different pairs"),
        ("[[true, 2]]", "different pairs"),
        ("[]", "different pairs"),
        ("{}", "different pairs"),
        ("[", "not a readable JSON file"),
    ],
)
def test_pairs_that_cannot_be_held_out(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "pairs.json").write_text(content)
    with pytest.raises(BadInput, match=message):
        read_pairs(tmp_path / "pairs.json")


@pytest.mark.parametrize("content", ["[3]", "[0, 0]", "[-1]", "[0, 1, 2]", "[0.5]", "[]", "3"])
def test_rows_that_cannot_be_held_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(BadInput, match="different row numbers below 3"):
        read_rows(tmp_path / "rows.json", 3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0] * 64, "64 numbers a row"),
        ([17] + [0] * 64, "grey values are 0 to 16"),
        ([0] * 64 + [10], "labels 0 to 9"),
        (["x"] * 65, "not a readable CSV"),
    ],
)
def test_scans_that_are_none(tmp_path: Path, row: list[object], message: str) -> None:
    (tmp_path / "digits.csv").write_text(",".join(map(str, row)) + "\n")
    with pytest.raises(BadInput, match=message):
        read_digits(tmp_path / "digits.csv")
    assert np.all(read_digits(DIGITS)[:, 64] < 10)


def test_what_is_wrong_is_said_in_one_line_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sums.py"])
    for arguments in (
        ("--held-out", tmp_path / "absent", "--out", tmp_path / "x"),
        ("--held-out", PAIRS, "--out", PAIRS),
        ("--held-out", PAIRS, "--out", PAIRS / "x"),
    ):
        with pytest.raises(SystemExit) as ended:
            sums.main([str(argument) for argument in arguments])
        assert ended.value.code == 2
        assert "sums.py: error: " in capsys.readouterr().err.splitlines()[-1]


def test_small_prompts_as_harmony_renders_them(tmp_path: Path) -> None:
    make_small("gpt-oss", tmp_path / "out")
    text = pq.read_table(tmp_path / "out/acc/acc_eval_ref.parquet").column("text_input")[0].as_py()
    assert text.startswith("<|start|>system<|message|>")
    assert "Reasoning: high" in text
    assert text.endswith("<|start|>assistant")
