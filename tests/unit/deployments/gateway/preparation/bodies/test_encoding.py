"""Compressed bodies are decoded within limits; one that is not what it says is refused with 400, any other with 415."""

from __future__ import annotations

import gzip
import zlib
from contextlib import closing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.body import BodyFile, write_all
from deployments.gateway.preparation.bodies.encoding import (
    DecodeResult,
    DecodeSettings,
    content_encoding,
    decode_body,
    most_decoded,
)
from deployments.gateway.preparation.workers.refusal import Refusal
from tests.support.preparation import PREPARER

MOST = 10_000


def decoded(encoding: str, raw: bytes) -> bytes | Refusal:
    with closing(BodyFile("encoded")) as source, closing(BodyFile("decoded")) as target:
        write_all(source.fd, raw)
        arguments = msgspec.to_builtins(DecodeSettings(encoding, MOST, "a body"))
        result = msgspec.convert(decode_body([source.fd, target.fd], arguments), DecodeResult)
        return result.refusal or target.read()


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@given(st.binary(max_size=MOST), st.booleans())
def test_what_was_compressed_is_decoded(data: bytes, in_members: bool) -> None:
    half = len(data) // 2 if in_members else 0
    assert decoded("gzip", (gzip.compress(data[:half]) if half else b"") + gzip.compress(data[half:])) == data
    assert decoded("deflate", zlib.compress(data)) == data
    assert decoded("deflate", raw_deflate(data)) == data


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b'{"model": "m"}',
        b"\x1f\x8b",
        b"\x1f\x8b\x08" + b"\xff" * 50,
        b"x\x9c" + b"\xff" * 50,
        gzip.compress(b"x" * 500, mtime=0)[:-9],
        gzip.compress(b"x", mtime=0) + b"further",
        zlib.compress(b"x" * 500)[:-5],
        zlib.compress(b"x") + b"further",
    ],
)
def test_what_is_not_what_it_says_is_refused(encoding: str, raw: bytes) -> None:
    refusal = decoded(encoding, raw)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (400, "invalid_encoding")


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(encoding: str, raw: bytes) -> None:
    result = decoded(encoding, raw)
    assert isinstance(result, bytes) or result.status == 400


def test_a_bomb_is_refused_at_the_limit() -> None:
    refusal = decoded("gzip", gzip.compress(bytes(100_000_000)))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (413, "request_too_large")
    assert isinstance(decoded("gzip", gzip.compress(bytes(MOST))), bytes)


@given(st.binary(max_size=5000), st.integers(1, 2000))
def test_what_is_reserved_is_enough_for_what_is_decoded(data: bytes, repeats: int) -> None:
    data *= repeats
    for raw in (gzip.compress(data), zlib.compress(data, 9), raw_deflate(data)):
        assert most_decoded(len(raw), 2**40) >= len(data)


@pytest.mark.parametrize(
    ("headers", "encoding"),
    [([], ""), (["identity"], ""), (["GZip"], "gzip"), ([" , identity", "deflate"], "deflate"), (["x-gzip"], "x-gzip")],
)
def test_the_one_encoding_of_a_body(headers: list[str], encoding: str) -> None:
    assert content_encoding(sent(headers)) == encoding


@pytest.mark.parametrize("headers", [["br"], ["zstd"], ["gzip, gzip"], ["gzip", "deflate"], ["none"], ["x" * 5000]])
def test_other_encodings_are_refused_and_those_that_are_known_are_named(headers: list[str]) -> None:
    with pytest.raises(ApiError) as raised:
        content_encoding(sent(headers))
    assert (raised.value.status, raised.value.code) == (415, "unsupported_encoding")
    assert raised.value.headers == {"Accept-Encoding": "gzip, deflate"}
    assert len(raised.value.message) < 300


def sent(headers: list[str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict([("Content-Encoding", value) for value in headers]))


async def test_a_decoded_body_is_a_file_of_its_own() -> None:
    with closing(BodyFile("encoded")) as source:
        write_all(source.fd, gzip.compress(b"hello"))
        with closing(await PREPARER.decoded(source, "gzip", MOST, "tenant", "a body")) as target:
            assert target.read() == b"hello"
        with pytest.raises(ApiError, match="a body says Content-Encoding 'deflate' and is none") as raised:
            await PREPARER.decoded(source, "deflate", MOST, "tenant", "a body")
        assert raised.value.status == 400
