"""Every multipart oddity is either read as an engine's parser reads it, or refused with 400."""

from __future__ import annotations

import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.form import MOST_CONTENT_TYPE, MOST_HEAD, MOST_PARTS, boundary_of, parts_of
from tests.support.http import form, part

BOUNDARY = b"a-boundary"
MODEL = part("model", b"m")


def read(body: bytes, boundary: bytes = BOUNDARY) -> list[tuple[str, bytes]]:
    """Names and values of the parts."""
    file = os.memfd_create("form")
    try:
        os.write(file, body)
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as mapped:
            return [(found.name, mapped[found.start : found.end]) for found in parts_of(mapped, boundary)]
    finally:
        os.close(file)


@given(
    st.lists(
        st.binary(max_size=30) | st.lists(st.sampled_from([b"\r\n", b"--", b"-", BOUNDARY, b"\r"])).map(b"".join),
        max_size=4,
    )
)
def test_values_are_read_whole(values: list[bytes]) -> None:
    values = [value for value in values if b"--" + BOUNDARY not in value]
    body = form([part(f"f{place}", value) for place, value in enumerate(values)], BOUNDARY)
    assert read(body) == [(f"f{place}", value) for place, value in enumerate(values)]


def test_a_boundary_with_further_letters_is_a_part_of_the_value() -> None:
    value = b"before\r\n--" + BOUNDARY + b"and more\r\nafter"
    assert read(form([part("f", value), MODEL], BOUNDARY)) == [("f", value), ("model", b"m")]


def test_line_ends_around_the_form_are_nothing() -> None:
    assert read(b"\r\n" + form([MODEL], BOUNDARY) + b"\r\nepilogue") == [("model", b"m")]
    assert read(form([MODEL], BOUNDARY).removesuffix(b"\r\n")) == [("model", b"m")]
    assert read(form([], BOUNDARY)) == []


def test_header_names_are_in_any_case_and_unknown_headers_are_allowed() -> None:
    head = b'X-More: 1\r\ncontent-DISPOSITION: form-data; name="a b"; filename="x"\r\nContent-Type: text/plain\r\n\r\n'
    assert read(form([head + b"v"], BOUNDARY)) == [("a b", b"v")]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n",
        b"no colon\r\n\r\n",
        b": no name\r\n\r\n",
        b"bad name: x\r\n\r\n",
        b"Content-Type: audio/wav\r\n\r\n",
        b"Content-Disposition: attachment; name=model\r\n\r\n",
        b"Content-Disposition: form-data\r\n\r\n",
        b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"\r\n\r\n',
        b'Content-Disposition: form-data; name="a"\r\n folded: x\r\n\r\n',
        b'Content-Disposition: form-data; name="a\x00"\r\n\r\n',
        b'Content-Disposition: form-data; name="a"\nX: y\r\n\r\n',
        b'Content-Disposition: form-data; name="a"\r\nX: ' + b"y" * MOST_HEAD + b"\r\n\r\n",
    ],
)
def test_bad_heads_are_refused(head: bytes) -> None:
    with pytest.raises(ApiError, match=r"malformed|too early") as raised:
        read(form([head + b"v", MODEL], BOUNDARY))
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n" + form([MODEL], BOUNDARY),
        b"-" + form([MODEL], BOUNDARY),
        form([MODEL], BOUNDARY).replace(b"\r\n", b"\n"),
        b"--" + BOUNDARY + b"  \r\n" + MODEL,
        form([part(f"f{number}", b"x") for number in range(MOST_PARTS + 1)], BOUNDARY),
        b"\r\n",
        b"--" + BOUNDARY,
        b"--" + BOUNDARY + b"-",
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        read(body)
    assert raised.value.status == 400


def test_as_many_parts_as_engines_take() -> None:
    assert len(read(form([part("f", b"x")] * MOST_PARTS, BOUNDARY))) == MOST_PARTS


@given(st.integers(0, 200), st.binary(max_size=20), st.integers(0, 20))
def test_a_damaged_form_is_read_or_refused(at: int, inserted: bytes, cut: int) -> None:
    body = form([part("file", b"RIFF", filename="a.wav"), MODEL], BOUNDARY)
    damaged = body[:at] + inserted + body[at + cut :]
    try:
        read(damaged)
    except ApiError as refused:
        assert refused.status == 400  # noqa: PT017


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
        (b"multipart/form-data; boundary=" + b"a" * 256, b"a" * 256),
    ],
)
def test_boundaries(content_type: bytes, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        (b"", "send the audio as multipart/form-data"),
        (b"multipart/form-data", "send the audio as multipart/form-data"),
        (b"multipart/form-data; boundary=", "send the audio as multipart/form-data"),
        (b"multipart/mixed; boundary=a", "send the audio as multipart/form-data"),
        (b"multipart/form-data; boundary=" + b"a" * 300, "300 bytes; use at most 70"),
        (b"multipart/form-data; boundary=a" + b";" * MOST_CONTENT_TYPE, "send a shorter boundary"),
    ],
)
def test_content_types_without_a_usable_boundary_are_refused(content_type: bytes, message: str) -> None:
    with pytest.raises(ApiError, match=message) as raised:
        boundary_of(content_type)
    assert raised.value.status == 400
