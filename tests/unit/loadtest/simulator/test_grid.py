from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.command import Refused
from loadtest.simulate import main, run
from loadtest.simulator.cells import Cell, _content, _whole, _window
from loadtest.simulator.grid import Results, _sources, run_cells
from tests.support.options import options_of

SPEC = "shared-prefix:groups=5,system=1000,question=200,output=20,count=40"
CELLS = [Cell(SPEC, "equal8", "seconds", load, requests=40) for load in (0.4, 0.8)]


def test_what_is_finished_is_not_run_again(tmp_path: Path) -> None:
    first = run_cells(CELLS[:1], Results(tmp_path), 1)
    kept = (tmp_path / "simulations.jsonl").read_text()
    both = run_cells(CELLS, Results(tmp_path), 1)
    assert (tmp_path / "simulations.jsonl").read_text().startswith(kept)
    assert both[CELLS[0]] == first[CELLS[0]]
    assert len((tmp_path / "simulations.jsonl").read_text().splitlines()) == 2
    assert run_cells(CELLS, Results(tmp_path), 1) == both


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    run_cells(CELLS, Results(tmp_path), 1)
    file = tmp_path / "simulations.jsonl"
    file.write_text(file.read_text()[:-30])
    results = Results(tmp_path)
    assert (results.get(CELLS[0]) is None, results.get(CELLS[1]) is None) == (False, True)
    assert len(run_cells(CELLS, results, 1)) == 2
    assert len(Results(tmp_path)._known) == 2


def test_several_processes_find_the_same_to_the_last_byte(tmp_path: Path) -> None:
    run_cells(CELLS, Results(tmp_path / "one"), 1)
    run_cells(CELLS, Results(tmp_path / "two"), 2)
    one, two = (sorted((tmp_path / name / "simulations.jsonl").read_bytes().splitlines()) for name in ("one", "two"))
    assert one == two


def test_a_file_that_was_edited_is_simulated_again(tmp_path: Path) -> None:
    trace = tmp_path / "own.csv"
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    rows += [f"2023-11-16 18:15:{second:02d}.0000000,{500 + second},10" for second in range(20)]
    trace.write_text("\n".join(rows))
    cell = Cell(str(trace), "equal8", "round-robin", 0.5, requests=20)
    before = run_cells([cell], Results(tmp_path), 1)[cell]
    trace.write_text("\n".join(rows).replace(",10", ",90"))
    for kept in (_content, _whole, _window):
        kept.cache_clear()
    assert Results(tmp_path).get(cell) is None
    after = run_cells([cell], Results(tmp_path), 1)[cell]
    assert after["output_tokens"] == 9 * before["output_tokens"]


def test_only_what_figures_follow_from_counts_as_code() -> None:
    names = {file.name for file in _sources("seconds")}
    assert {"engine.py", "router.py", "latency.py", "kv_blocks.py", "seconds.py", "ties.py", "poisson.py"} <= names
    assert not names & {"report.py", "grid.py", "lmetric.py"}
    assert "lmetric.py" in {file.name for file in _sources("lmetric")}


def test_tables_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--trace", SPEC, "--fleet", "equal8", "--policy", "seconds", "round-robin", "--load", "0.5", "0.9"]
    arguments += ["--requests", "40", "--seeds", "1", "--jobs", "1", "--out", str(tmp_path)]
    run(options_of(main, arguments))
    printed = capsys.readouterr().out
    assert printed.count("round-robin") == 2
    page = (tmp_path / "simulations.html").read_text()
    assert "<svg" in page
    assert "round-robin" in page


@pytest.mark.slow
def test_the_highest_load_and_the_smallest_fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual = ["--trace", SPEC, "--requests", "40", "--seeds", "1", "--jobs", "1", "--out", str(tmp_path)]
    run(options_of(main, [*usual, "--fleet", "equal8", "--find-goodput"]))
    assert "a fleet holds a load where 90%" in capsys.readouterr().out
    run(options_of(main, [*usual, "--fleet", "equal8", "mixed9", "--smallest-for", "5"]))
    assert "smallest that holds 5 requests/s: equal8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trace", "nope", "--fleet", "equal8"], "nope"),
        (["--trace", "shared-prefix:grops=3", "--fleet", "equal8"], "grops"),
        (["--trace", SPEC, "--fleet", "nope"], "comparison fleets"),
        (["--trace", SPEC, "--fleet", "embedded"], "--model"),
    ],
)
def test_what_cannot_be_run_says_why(arguments: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=said):
        run(options_of(main, [*arguments, "--out", str(tmp_path), "--jobs", "1", "--seeds", "1", "--requests", "10"]))


def test_options_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--policy", "best"], ["--load", "0"], ["--seeds", "0"], ["--find-goodput", "--smallest-for", "3"]):
        with pytest.raises(SystemExit):
            main(["--trace", SPEC, "--fleet", "equal8", *wrong])
    assert "usage" in capsys.readouterr().err
