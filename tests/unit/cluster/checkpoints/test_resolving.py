"""What each way of naming a checkpoint leads to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.checkpoints import CheckpointError, Silent, prepare_all, resolve
from tests.unit.cluster.checkpoints.conftest import REPOSITORY, Toy


def test_an_embedded_name_is_prepared_with_its_environment(toy: Toy) -> None:
    resolved = resolve("toy", cache=toy.cache, report=Silent(), recipes={"toy": toy.recipe})
    assert Path(resolved.path) == toy.cache / toy.recipe.folder
    assert Path(resolved.environment["TOY_FOLDER"], "weights").is_file()
    assert resolved.revision is None


def test_a_revision_of_an_embedded_checkpoint_is_refused(toy: Toy) -> None:
    with pytest.raises(CheckpointError, match="pinned already: remove the revision 'main'"):
        resolve("toy", "main", cache=toy.cache, recipes={"toy": toy.recipe})


def test_a_hub_repository_is_left_to_the_engine() -> None:
    resolved = resolve("openai/gpt-oss-120b", "b5c939d", report=Silent())
    assert (resolved.path, resolved.revision, dict(resolved.environment)) == ("openai/gpt-oss-120b", "b5c939d", {})


def test_a_folder_wins_over_a_hub_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    for spelling in ("org/name", "./org/name", str(tmp_path / "org" / "name")):
        assert resolve(spelling).path == str(tmp_path / "org" / "name")


@pytest.mark.parametrize(
    ("spelling", "said"),
    [
        ("whisper-bass", "unknown checkpoint 'whisper-bass'.*tiny-gpt-oss-sums.*Did you mean 'whisper-base'"),
        ("./models/mine", "/models/mine does not exist"),
        ("/no/such/folder", "/no/such/folder does not exist"),
        ("~/no-such-folder-here", "no-such-folder-here does not exist"),
        ("a/b/c", "unknown checkpoint 'a/b/c'"),
        ("empty", "empty holds no config.json"),
        ("file", "file is a file"),
    ],
)
def test_errors_say_what_was_looked_for(
    spelling: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=said):
        resolve(spelling)


def test_prepare_all_takes_embedded_names_only(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="unknown checkpoint 'openai/whisper-large-v3'"):
        prepare_all(["openai/whisper-large-v3"], tmp_path)


def test_a_prepared_checkpoint_costs_no_heavy_import(tmp_path: Path) -> None:
    """Replicas resolve at their start: the engine's libraries must not be loaded into them for it."""
    name = "tiny-qwen3vl-digits"
    assert prepare_all([name, name], tmp_path, Silent()).keys() == {name}
    script = f"""
import sys
from pathlib import Path
from cluster.checkpoints import resolve
resolve({name!r}, cache=Path({str(tmp_path)!r}))
print(sorted(sys.modules.keys() & {{"torch", "transformers", "tokenizers", "numpy", "huggingface_hub"}}))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
