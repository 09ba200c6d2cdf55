from __future__ import annotations

import os
import socket
import stat
import tempfile
import uuid
from pathlib import Path

import pytest

from deployments.engine import socket_folder as module
from deployments.engine.socket_folder import ADDRESS_BYTES, NoSocketFolder, socket_folder

LONG = "a long folder with blanks, 'quotes' and ümläuts "


def long_folder(parent: Path) -> Path:
    """A folder whose path has 200 bytes and more."""
    folder = parent
    while len(os.fsencode(folder)) < 200:
        folder /= LONG
    folder.mkdir(parents=True)
    return folder


def can_listen(folder: str) -> bool:
    """With the longest name that anything gives a socket there."""
    path = f"{folder}/{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
    return len(os.fsencode(path)) <= ADDRESS_BYTES


def test_short_private_folder_is_used_itself() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as private, socket_folder(private) as sockets:
        assert sockets == private
        assert can_listen(sockets)


def test_long_path_gets_a_short_folder_for_this_user_alone_which_is_removed(tmp_path: Path) -> None:
    with socket_folder(str(long_folder(tmp_path))) as sockets:
        assert can_listen(sockets)
        assert stat.S_IMODE(Path(sockets).stat().st_mode) == 0o700
    assert not Path(sockets).exists()


@pytest.mark.parametrize("name", ["a b", "ü", 'a"b', "a\\b", "a%b"])
def test_path_that_would_need_quoting_gets_another_folder(name: str) -> None:
    with socket_folder(f"/tmp/{name}") as sockets:
        assert module.PLAIN.fullmatch(sockets)
        assert can_listen(sockets)


def test_runtime_folder_of_the_user_is_preferred_where_it_fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        with socket_folder("/tmp/a b") as sockets:
            assert Path(sockets).parent == Path(runtime)
    for unusable in ("/nowhere", str(long_folder(tmp_path)), "relative"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        with socket_folder("/tmp/a b") as sockets:
            assert Path(sockets).parent == Path("/tmp")


def test_no_folder_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(module, "FOLDERS", ("/nowhere",))
    with pytest.raises(NoSocketFolder, match=r"none can be made in /nowhere; set XDG_RUNTIME_DIR to a folder"):
        socket_folder("/tmp/a b").__enter__()
