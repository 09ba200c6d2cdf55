"""Prepared once, whatever happens in between."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cluster.checkpoints.errors import CheckpointError, SourceUnavailable
from cluster.checkpoints.manifest import MANIFEST, flaw
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Console, Silent
from cluster.checkpoints.recipe import Recipe, Variant
from cluster.checkpoints.store import default_cache, prepare
from tests.unit.cluster.checkpoints.conftest import Toy


def weights(folder: Path) -> str:
    return (folder / "below" / "weights").read_text()


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.name.startswith(".") and path.suffix != ".lock"]


def test_first_call_builds_and_second_only_looks(toy: Toy) -> None:
    folder = prepare(toy.recipe, toy.cache, Silent())
    assert weights(folder) == "the weights"
    assert flaw(folder, verify=True) is None
    assert leftovers(toy.cache) == []
    started = time.process_time()
    assert prepare(toy.recipe, toy.cache, Silent()) == folder
    assert time.process_time() - started < 0.05
    assert toy.log == ["fetch", "build"]


def test_three_processes_at_once_build_once(toy: Toy) -> None:
    toy.hold()
    first = toy.start()
    toy.wait_until(lambda: "build" in toy.log)
    others = [toy.start(), toy.start()]
    assert others[0].stderr is not None
    assert "waiting" in others[0].stderr.readline()
    toy.let_go()
    outputs = {child.communicate(timeout=30)[0].strip() for child in (first, *others)}
    assert [child.returncode for child in (first, *others)] == [0, 0, 0]
    assert outputs == {str(toy.cache / toy.recipe.folder)}
    assert toy.log == ["fetch", "build"]


def test_a_killed_build_is_taken_up_with_its_downloads(toy: Toy) -> None:
    toy.hold()
    child = toy.start()
    toy.wait_until(lambda: "build" in toy.log)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (toy.cache / toy.recipe.folder).exists()
    toy.let_go()
    folder = prepare(toy.recipe, toy.cache, Silent())
    assert weights(folder) == "the weights"
    assert toy.log == ["fetch", "build", "build"]
    assert leftovers(toy.cache) == []


@pytest.mark.parametrize("damage", ["shorter", "file gone", "manifest gone", "manifest broken", "manifest empty"])
def test_visible_damage_is_repaired(toy: Toy, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepare(toy.recipe, toy.cache, Silent())
    match damage:
        case "shorter":
            os.truncate(folder / "below" / "weights", 3)
        case "file gone":
            (folder / "config.json").unlink()
        case "manifest gone":
            (folder / MANIFEST).unlink()
        case "manifest broken":
            (folder / MANIFEST).write_text('{"files": {')
        case "manifest empty":
            (folder / MANIFEST).write_text("{}")
    assert flaw(folder) is not None
    assert weights(prepare(toy.recipe, toy.cache, Console())) == "the weights"
    assert "is damaged" in capsys.readouterr().err
    assert flaw(folder, verify=True) is None
    assert leftovers(toy.cache) == []


def test_damage_of_equal_size_is_found_by_verifying(toy: Toy) -> None:
    folder = prepare(toy.recipe, toy.cache, Silent())
    (folder / "below" / "weights").write_text("THE WEIGHTS")
    assert weights(prepare(toy.recipe, toy.cache, Silent())) == "THE WEIGHTS"
    assert weights(prepare(toy.recipe, toy.cache, Silent(), verify=True)) == "the weights"


def test_an_engine_that_has_damaged_files_open_keeps_them(toy: Toy) -> None:
    folder = prepare(toy.recipe, toy.cache, Silent())
    with (folder / "below" / "weights").open() as held:
        (folder / "config.json").unlink()
        prepare(toy.recipe, toy.cache, Silent())
        assert held.read() == "the weights"


@dataclass(frozen=True)
class Given:
    """Gives one file with its own name as content, or refuses."""

    label: str
    refuses: str | None = None

    def fetch(self, downloads: Path, report: object) -> dict[str, Path]:
        if self.refuses:
            raise SourceUnavailable(self.refuses)
        (downloads / "origin").write_text(self.label)
        return {"origin": downloads / "origin"}


def recipe_of(*sources: Given) -> Recipe:
    return Recipe("ordered", 1, tuple(Variant(source, "cluster.checkpoints.as_is:build") for source in sources))


def test_the_first_source_that_can_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = recipe_of(Given("first", "is closed"), Given("second"), Given("third"))
    folder = prepare(recipe, tmp_path, Console())
    assert (folder / "origin").read_text() == "second"
    assert "not from first: is closed" in capsys.readouterr().err
    assert '"source": "second"' in (folder / MANIFEST).read_text()


def test_no_source_at_all_names_each_refusal(tmp_path: Path) -> None:
    recipe = recipe_of(Given("first", "is closed"), Given("second", "has moved"))
    with pytest.raises(CheckpointError, match=r"first: is closed\n  second: has moved\n.*local folder"):
        prepare(recipe, tmp_path, Silent())
    assert not (tmp_path / recipe.folder).exists()


def test_another_version_or_pin_has_another_folder(toy: Toy) -> None:
    assert replace(toy.recipe, version=2).folder != toy.recipe.folder
    assert recipe_of(Given("a")).folder != recipe_of(Given("b")).folder
    assert PinnedFile("a", 1, "0") != PinnedFile("a", 1, "1")


def test_a_cache_that_cannot_be_written_says_what_to_do(toy: Toy) -> None:
    toy.cache.write_text("in the way")
    with pytest.raises(CheckpointError, match="checkpoint_cache"):
        prepare(toy.recipe, toy.cache, Silent())


def test_default_cache_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "mixfleet" / "checkpoints"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "mixfleet" / "checkpoints"
