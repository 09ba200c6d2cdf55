from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cluster import keys
from cluster.keys import KEY, KeyFileError, digest, new_key, read_key_file


def test_new_keys_differ_and_are_keys() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(KEY.fullmatch(key.encode()) for key in made)
    assert digest("abc") == digest(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_a_file_has_a_key_per_line(tmp_path: Path) -> None:
    one, two = new_key(), new_key()
    file = tmp_path / "keys"
    file.write_text(f"# of the speech team\n\n{one}\r\n  {two}  ")
    assert read_key_file(str(file)) == [digest(one), digest(two)]


def test_a_home_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "keys").write_text("k" * 16)
    assert read_key_file("~/keys") == [digest("k" * 16)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no key in it"),
        (b"# only words\n\n", "no key in it"),
        (b"kkkkkkkkkkkkkkkkk\nsecret-short\n", ":2: not a key"),
        (b"secret with blanks in it\n", ":1: not a key"),
        ("secret-ключ-ключ-ключ\n".encode(), ":1: not a key"),
        (b"secret-\xff\xfe\x00-0123456789\n", ":1: not a key"),
        (b"secret" + b"x" * 507 + b"\n", ":1: not a key"),
        (b"secret" + b"x" * keys.MOST_BYTES, "more than 1048576 bytes"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_wrong_file_is_told_without_what_is_in_it(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(KeyFileError) as raised:
        read_key_file(str(file))
    assert str(raised.value).startswith(f"key file {file}")
    assert told in str(raised.value)
    assert "secret" not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file or directory; it must be readable where the gateway runs"):
        read_key_file(str(tmp_path / "none"))
    with pytest.raises(KeyFileError, match="not a file"):
        read_key_file(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KeyFileError, match="not a file"):
        read_key_file(str(tmp_path / "pipe"))


def test_a_byte_order_mark_before_the_keys_is_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf" + b"a" * 20 + b"\r\n")
    assert read_key_file(str(file)) == [digest("a" * 20)]
