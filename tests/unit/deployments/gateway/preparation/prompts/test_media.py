from __future__ import annotations

import base64
import copy
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.media.references import ADDRESSED
from deployments.gateway.preparation.prompts.media import MEDIA_KEYS, Picture, may_hold_media, own_identities


def png(color: int = 0) -> bytes:
    buffer = BytesIO()
    Image.new("L", (8, 6), color).save(buffer, "PNG")
    return buffer.getvalue()


def address(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(data: bytes, **further: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address(data)}, **further}


def chat(*parts: Any, **further: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}], **further}


def identities(body: dict[str, Any], salt: str = "") -> list[Any]:
    """Of every part, after the gateway has set its own."""
    own_identities(body, salt)
    return [part.get("uuid") for message in body["messages"] for part in message["content"]]


def test_an_inline_picture_is_known_by_its_bytes_and_its_size() -> None:
    body = chat(picture(png()), {"type": "text", "text": "?"}, picture(png(9)))
    pictures, changed = own_identities(body, "")
    assert changed
    assert [p.size for p in pictures] == [(8, 6), (8, 6)]
    assert pictures[0].identity != pictures[1].identity
    assert [p.get("uuid") for p in body["messages"][0]["content"]] == [pictures[0].identity, None, pictures[1].identity]


@pytest.mark.parametrize("name", sorted({*MEDIA_KEYS, *ADDRESSED, "uuid"}))
def test_no_spelling_of_a_field_with_media_is_passed_over(name: str) -> None:
    plain = msgspec.json.encode(chat({"type": "text", name: "x"}))
    assert may_hold_media(plain)
    for place, letter in enumerate(name):
        spelt = f"{name[:place]}\\u{ord(letter):04X}{name[place + 1 :]}"
        raw = plain.replace(name.encode(), spelt.encode())
        assert msgspec.json.decode(raw) == msgspec.json.decode(plain)
        assert may_hold_media(raw)
    assert not may_hold_media(msgspec.json.encode(chat({"type": "text", "text": "x"})))


def test_the_same_bytes_have_one_identity_however_they_are_spelt() -> None:
    spelt = [
        picture(png()),
        picture(png(), uuid="forged"),
        {"image_url": address(png(), "image/x")},
        {**picture(png()), "type": None},
    ]
    assert len({str(i) for i in identities(chat(*spelt))}) == 1


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40), st.text(), st.text(), st.text())
def test_an_identity_is_of_the_bytes_and_of_the_salt_and_of_nothing_a_client_says(
    one: bytes, other: bytes, salt: str, salt_too: str, uuid: str
) -> None:
    [first] = identities(chat(picture(one, uuid=uuid)), salt)
    [second] = identities(chat(picture(other, uuid=uuid)), salt_too)
    assert (first == second) == ((one, salt) == (other, salt_too))
    assert uuid != first


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://host/a.png"}, "uuid": "mine"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!"}},
        {"type": "image_url", "image_url": {"url": 7}},
        {"type": "image_url", "image_url": []},
        {"type": "video_url", "video_url": {"url": "https://host/a.mp4"}},
        {"audio_url": "http://host/a.wav"},
        {**picture(png()), "video_url": {"url": "data:;base64,QUJD"}},
    ],
)
def test_what_may_change_or_is_read_in_two_ways_is_known_for_one_request_only(part: dict[str, Any]) -> None:
    first, second = identities(chat(copy.deepcopy(part))), identities(chat(copy.deepcopy(part)))
    assert first != second
    assert len(first[0]) == 32


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUJD"}},
        {"type": "image_embeds", "image_embeds": {"image_embeds": "QUJD"}},
        {"type": "image_embeds", "image_embeds": "QUJD", "uuid": "mine"},
    ],
)
def test_other_inline_media_are_known_by_what_was_sent(part: dict[str, Any]) -> None:
    def of(salt: str) -> list[Any]:
        return identities(chat(copy.deepcopy(part)), salt)

    assert of("") == of("") != of("t")
    assert of("") != ["mine"]


def test_what_changes_the_processing_changes_the_identity() -> None:
    plain, other = chat(picture(png())), chat(picture(png()), mm_processor_kwargs={"max_pixels": 9})
    assert identities(plain) != identities(other)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "uuid": "theirs"},
        {"type": "image_url", "image_url": None, "uuid": "theirs"},
        {"type": "text", "text": "x", "uuid": "theirs"},
        {"uuid": ""},
    ],
)
@pytest.mark.parametrize("where", ["messages", "input"])
def test_a_uuid_without_media_is_refused(part: dict[str, Any], where: str) -> None:
    with pytest.raises(ApiError, match="sends no media") as refused:
        own_identities({where: [{"role": "user", "content": [part]}]}, "")
    assert refused.value.status == 400


def test_a_text_stays_a_text() -> None:
    body = chat({"type": "text", "text": "x", "image_url": "data:;base64,QUJD"})
    assert own_identities(body, "") == ([], False)
    assert "uuid" not in body["messages"][0]["content"][0]
    body["messages"][0]["content"][0]["uuid"] = "theirs"
    assert own_identities(body, "") == ([], True)
    assert "uuid" not in body["messages"][0]["content"][0]


def test_parts_of_the_responses_api_lose_theirs() -> None:
    inline = {"type": "input_image", "image_url": address(png()), "uuid": "theirs"}
    body = {
        "input": [{"role": "user", "content": [inline]}, {"type": "function_call_output", "output": [dict(inline)]}]
    }
    assert own_identities(body, "") == ([], True)
    assert "theirs" not in str(body)


def test_words_of_tools_are_left_alone() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": {"uuid": "u", "image_url": "x"}}}
    body = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}], "tools": [{"uuid": {}}]}
    before = copy.deepcopy(body)
    assert own_identities(body, "salt") == ([], False)
    assert body == before


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "image_url", "url", "text", "output", "x"]), inner
        )
    ),
    max_leaves=15,
)


@given(json, json)
def test_bodies_of_any_shape_raise_nothing(messages: Any, items: Any) -> None:
    pictures, _ = own_identities({"messages": messages, "input": items}, "s")
    assert all(isinstance(p, Picture) for p in pictures)
