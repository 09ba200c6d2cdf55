from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cluster.__main__ import main
from cluster.loading import load_fleet, parse_fleet, presets


@pytest.mark.parametrize("preset", presets())
def test_validate_says_that_a_fleet_is_right(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", preset]) == 0
    assert f"fleet '{preset}' is valid" in capsys.readouterr().out


def test_validate_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text("name: x\nmodels: []\ncolour: red\n")
    assert main(["validate", str(file)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{file}:2: models: " in told.err
    assert f"{file}:3: colour: unknown key" in told.err


@pytest.mark.parametrize("command", ["validate", "show"])
def test_a_fleet_that_is_not_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "nowhere"]) == 2
    assert "no fleet 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("preset", presets())
def test_show_prints_a_whole_fleet_file(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", preset]) == 0
    shown = capsys.readouterr().out
    assert parse_fleet(shown, "shown") == load_fleet(preset)
    assert yaml.safe_load(shown)["gateway"]["keepalive_s"] == 75, "defaults are filled in"
    assert "# each replica asks of Ray:" in shown


@pytest.mark.parametrize("arguments", [[], ["validate"], ["paint", "embedded"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m cluster" in capsys.readouterr().err
