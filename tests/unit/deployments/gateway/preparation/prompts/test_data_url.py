from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.preparation.prompts.data_url import decode, is_inline


def address(data: bytes, head: str = "data:image/png;base64,") -> str:
    return head + base64.b64encode(data).decode()


@given(st.binary(min_size=1, max_size=300))
def test_bytes_come_back(data: bytes) -> None:
    assert decode(address(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64,",
        "data:image/png;base64",
        "data:image/png,abcd",
        "data:;base64,QQ=",
        "data:;base64,QQ==QQ==",
        "data:;base64,QR==",
        "data:;base64,QQ\n=",
        "data:;base64,QU_-",
        "data:;base64,QUJD\n",
        "data:;base64,QUJ\u00e9",
        "data:;BASE64,QUJD",
        "data:" + "x" * 2000 + ";base64,QUJD",
        "http://host/QUJD",
        "",
    ],
)
def test_what_another_decoder_might_read_differently_is_not_read(text: str) -> None:
    assert decode(text) is None


def test_inline() -> None:
    assert is_inline("DATA:;base64,")
    assert not is_inline("https://host/data:")
