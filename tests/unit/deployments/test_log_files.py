from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.log_files import append_to, read_from
from tests.support.other_users import NOBODY, needs_root


def _symlink(log: Path, target: Path) -> None:
    log.symlink_to(target)


def _hard_link(log: Path, target: Path) -> None:
    log.hardlink_to(target)


def _dangling(log: Path, target: Path) -> None:
    log.symlink_to(target.with_name("new"))


def _pipe(log: Path, _: Path) -> None:
    os.mkfifo(log)


def test_a_new_log_is_for_this_user_alone_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for line in (b"one\n", b"two\n"):
        with append_to(path) as log:
            log.write(line)
    assert path.stat().st_mode & 0o777 == 0o600
    with read_from(path) as log:
        assert log.read() == b"one\ntwo\n"


@pytest.mark.parametrize("put", [_symlink, _hard_link, _dangling, _pipe])
def test_what_is_put_in_the_place_of_a_log_leads_to_no_other_file(
    tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    path, precious = tmp_path / "log", tmp_path / "authorized_keys"
    precious.write_text("ours")
    put(path, precious)
    with pytest.raises(FileNotFoundError):
        read_from(path)
    with append_to(path) as log:
        log.write(b"a line")
    assert precious.read_text() == "ours"
    assert path.read_text() == "a line"
    assert {file.name for file in tmp_path.iterdir()} == {"log", "authorized_keys"}


@needs_root
def test_another_users_file_in_the_place_of_a_log_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("theirs")
    path.chmod(0o666)
    os.chown(path, NOBODY, NOBODY)
    with append_to(path) as log:
        log.write(b"a line")
    assert (path.read_text(), path.stat().st_uid, path.stat().st_mode & 0o777) == ("a line", 0, 0o600)


def test_a_device_stays_what_it_is() -> None:
    with append_to(Path(os.devnull)) as log:
        log.write(b"a line")
    assert Path(os.devnull).is_char_device()


def test_a_log_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with pytest.raises(OSError, match="log"):
        append_to(tmp_path / "log")
    with pytest.raises(FileNotFoundError):
        append_to(tmp_path / "missing" / "log")
