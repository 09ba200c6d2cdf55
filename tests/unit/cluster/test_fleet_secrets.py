from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.cache_folder import project_cache
from cluster.fleet_secrets import (
    FleetSecrets,
    SecretsError,
    SecretsWatch,
    make_secrets,
    open_secrets,
    provide_secrets,
    read_secrets,
    secrets_path,
)

SECRET, OTHER = "a" * 20, "b" * 20


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secrets"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_first_secret_is_used_and_all_are_accepted(tmp_path: Path) -> None:
    both = read_secrets(written(tmp_path, f"# rotated in May\n{SECRET}\n\n{OTHER}\n"))
    assert both.derive("engines") == both.accepted("engines")[0] == FleetSecrets((SECRET.encode(),)).derive("engines")
    assert both.accepted("engines")[1] == FleetSecrets((OTHER.encode(),)).derive("engines")


def test_purposes_get_different_bytes() -> None:
    secrets = FleetSecrets((SECRET.encode(),))
    assert len({secrets.derive("engines"), secrets.derive("index"), SECRET.encode()}) == 3
    assert SECRET not in repr(secrets)


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("", 0o600, "no secret in it"),
        ("# only a comment\n", 0o600, "no secret in it"),
        ("short\n", 0o600, "secrets:1: not a secret"),
        (f"{SECRET}\nwith a blank in it\n", 0o600, "secrets:2: not a secret"),
        (f"{SECRET}\n", 0o604, "chmod 600"),
    ],
)
def test_unusable_file_is_refused_without_showing_it(tmp_path: Path, text: str, mode: int, message: str) -> None:
    with pytest.raises(SecretsError, match=message) as error:
        read_secrets(written(tmp_path, text, mode))
    assert SECRET not in str(error.value)
    assert "with a blank" not in str(error.value)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match=r"No such file.*same on every node"):
        read_secrets(tmp_path / "missing")
    with pytest.raises(SecretsError, match=r"Is a directory|not a file"):
        read_secrets(tmp_path)


def test_made_secret_is_readable_by_its_owner_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "fleet"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: make_secrets(path), range(8)))
    assert len({each.values for each in made}) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


def test_fleet_that_names_no_file_has_one_in_the_project_cache() -> None:
    assert secrets_path("mine", None) == project_cache() / "secrets" / "mine"
    assert secrets_path("mine", "~/secrets") == Path.home() / "secrets"


def test_a_start_makes_the_file_of_a_fleet_that_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    provide_secrets("f", None)
    made = secrets_path("f", None)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    first = read_secrets(made)
    provide_secrets("f", None)
    assert read_secrets(made) == open_secrets("f", None) == first


def test_a_start_leaves_a_file_that_the_fleet_names_to_the_operator(tmp_path: Path) -> None:
    provide_secrets("f", str(tmp_path / "named"))
    assert not (tmp_path / "named").exists()


def test_opening_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for named in (None, str(tmp_path / "named")):
        with pytest.raises(SecretsError, match=r"No such file.*same on every node"):
            open_secrets("f", named)
    assert list(tmp_path.rglob("*")) == []


def test_opening_reads_the_file_that_the_fleet_names(tmp_path: Path) -> None:
    assert open_secrets("f", str(written(tmp_path, f"{SECRET}\n"))) == FleetSecrets((SECRET.encode(),))


def test_file_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SecretsError, match=r"cannot be made: Not a directory; set XDG_CACHE_HOME"):
        provide_secrets("f", None)


def test_a_watch_tells_of_other_secrets_once_and_of_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, SECRET)
    watch = SecretsWatch(path)
    assert not watch.changed()
    written(tmp_path, f"# a note\n{SECRET}\n")
    assert not watch.changed()
    written(tmp_path, f"{SECRET}\n{OTHER}\n")
    assert [watch.changed(), watch.changed()] == [True, False]
    path.unlink()
    assert not watch.changed(), "what cannot be used changes nothing"
    written(tmp_path, f"{SECRET}\n{OTHER}\n")
    assert not watch.changed()
    written(tmp_path, OTHER)
    assert watch.changed()
