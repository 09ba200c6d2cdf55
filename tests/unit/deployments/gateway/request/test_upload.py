from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.request.reading import ParsedRequest
from deployments.gateway.request.route_bodies import RouteBodies
from deployments.gateway.request.upload import FORM_OVERHEAD, MOST_FIELD, read_upload
from tests.support.http import arriving_request, form, part, parts_of, recording
from tests.support.preparation import PREPARER

BOUNDARY = b"a-boundary"
MOST_FILE = 25 * 2**20
FILE = part("file", b"RIFF", filename="a.wav", content_type="audio/wav")
MODEL = part("model", b"m")
ROUTE = RouteBodies(path="/an/upload")


def pieces_of(body: bytes, size: int = 2**16) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


async def read(
    pieces: Iterable[bytes], content_type: str = f"multipart/form-data; boundary={BOUNDARY.decode()}", **headers: str
) -> ParsedRequest:
    request = arriving_request(pieces, {"Content-Type": content_type, **headers})
    return await read_upload(request, PREPARER, ROUTE, MOST_FILE, ByteClaim(ByteBudget(2**30)))


async def body_of(parsed: ParsedRequest) -> bytes:
    body = parsed.body()
    assert isinstance(body, AsyncIterator)
    return b"".join([piece async for piece in body])


async def resent(parsed: ParsedRequest) -> list[tuple[bytes, bytes]]:
    """The parts of the body that is sent on, the same at every attempt."""
    body = await body_of(parsed)
    assert body == await body_of(parsed), "each attempt sends all of it"
    assert parsed.length == len(body)
    kind, _, boundary = parsed.content_type.partition("; boundary=")
    assert kind == "multipart/form-data"
    return parts_of(body, boundary.encode())


async def error(pieces: Iterable[bytes], **headers: str) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await read(pieces, **headers)
    return raised.value


async def test_what_the_gateway_needs_to_know_of_an_upload() -> None:
    speech = part("file", recording(2.5), filename="a.wav")
    parsed = await read([form([speech, MODEL, part("stream", b"true")], BOUNDARY)])
    assert (parsed.model, parsed.request.audio_s, parsed.amount) == ("m", 2.5, 2.5)
    parsed.close()


async def test_repeated_fields_are_sent_on_in_their_order_and_the_file_last() -> None:
    fields = [
        part("timestamp_granularities[]", b"word"),
        FILE,
        part("timestamp_granularities[]", b"segment"),
        MODEL,
        part("prompt", "größe\r\n\r\n--".encode(), content_type="text/plain; charset=utf-8"),
    ]
    parsed = await read([form(fields, BOUNDARY)])
    order = [fields[0], *fields[2:], FILE]
    assert [head + b"\r\n\r\n" + value for head, value in await resent(parsed)] == order
    parsed.close()


@given(
    file=st.binary(min_size=1, max_size=400) | st.just(b"\r\n--" + BOUNDARY[:-1] + b"\r\n" * 3),
    fields=st.lists(st.tuples(st.sampled_from(["prompt", "language", "x"]), st.text(max_size=40)), max_size=4),
    at=st.integers(0, 5),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
async def test_any_form_in_any_pieces_is_sent_on_whole(
    file: bytes, fields: list[tuple[str, str]], at: int, cuts: list[int]
) -> None:
    others = [MODEL, *[part(name, value.encode()) for name, value in fields]]
    speech = part("file", file, filename="a.wav", content_type="audio/wav")
    body = form([*others[:at], speech, *others[at:]], BOUNDARY)
    ends = sorted({0, len(body), *[cut for cut in cuts if cut < len(body)]})
    parsed = await read([body[a:b] for a, b in itertools.pairwise(ends)])
    assert [head + b"\r\n\r\n" + value for head, value in await resent(parsed)] == [*others, speech]
    parsed.close()


@given(st.integers(0, 300), st.binary(max_size=20), st.integers(0, 20))
async def test_a_damaged_form_is_read_or_refused(at: int, inserted: bytes, cut: int) -> None:
    body = form([FILE, MODEL], BOUNDARY)
    try:
        parsed = await read(pieces_of(body[:at] + inserted + body[at + cut :], 50))
    except ApiError as refused:
        assert refused.status == 400  # noqa: PT017
    else:
        assert len(await resent(parsed)) >= 2
        parsed.close()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=30))
async def test_any_content_type_is_read_or_refused(value: str) -> None:
    for content_type in (value, f"multipart/form-data; boundary={value}"):
        refused = None
        try:
            await read([form([FILE, MODEL], BOUNDARY)], content_type)
        except ApiError as told:
            refused = told
        assert refused is None or refused.status == 400


async def test_a_boundary_in_another_alphabet() -> None:
    parsed = await read([form([FILE, MODEL], "境界".encode())], "multipart/form-data; boundary=境界")
    assert parsed.model == "m"
    parsed.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "malformed|too early"),
        (form([MODEL], BOUNDARY), "no `file`"),
        (form([FILE], BOUNDARY), "must provide a `model`"),
        (form([FILE, part("model", b"")], BOUNDARY), "must provide a `model`"),
        (form([FILE, FILE, MODEL], BOUNDARY), "two `file` parts"),
        (form([part("file", b"", filename="a.wav"), MODEL], BOUNDARY), "file is empty"),
        (form([FILE, MODEL], BOUNDARY)[:-4], "ends too early"),
        (form([FILE, MODEL], BOUNDARY)[:90], "ends too early"),
        (form([FILE, MODEL], b"another"), "malformed"),
        (b"RIFF....WAVE", "malformed"),
    ],
)
async def test_forms_that_cannot_be_used(body: bytes, words: str) -> None:
    refused = await error([body])
    assert refused.status == 400
    assert any(word in refused.message for word in words.split("|")), refused.message


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="]
)
async def test_bodies_that_are_no_form(content_type: str) -> None:
    with pytest.raises(ApiError, match="multipart/form-data with a `file`") as raised:
        await read([form([FILE, MODEL], BOUNDARY)], content_type)
    assert raised.value.status == 400


async def test_a_file_of_just_the_limit() -> None:
    parsed = await read(pieces_of(form([part("file", bytes(MOST_FILE), filename="a"), MODEL], BOUNDARY), 2**20))
    sizes = [len(value) for _, value in await resent(parsed)]
    assert sizes == [1, MOST_FILE]
    parsed.close()


async def test_a_file_above_the_limit() -> None:
    body = form([part("file", bytes(MOST_FILE + 1), filename="a"), MODEL], BOUNDARY)
    refused = await error(pieces_of(body, 2**20))
    assert (refused.status, refused.code) == (413, "request_too_large")
    assert "an audio file may have at most 25 MiB" in refused.message


async def test_a_length_above_the_limit_is_refused_unread() -> None:
    refused = await error([], **{"Content-Length": str(MOST_FILE + FORM_OVERHEAD + 1)})
    assert refused.status == 413


async def test_fields_above_their_limit() -> None:
    refused = await error(pieces_of(form([part("prompt", bytes(MOST_FIELD + 1)), FILE, MODEL], BOUNDARY)))
    assert refused.status == 413
    assert "form field 'prompt'" in refused.message


async def test_many_fields_together_have_a_limit_too() -> None:
    parts = [part(f"x{n}", bytes(MOST_FIELD)) for n in range(4 + FORM_OVERHEAD // MOST_FIELD)]
    assert (await error(pieces_of(form([*parts, FILE, MODEL], BOUNDARY)))).status == 413


async def test_the_head_of_a_part_has_a_limit() -> None:
    head = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(MOST_FIELD // 1000 + 3))
    assert (await error(pieces_of(form([head + FILE, MODEL], BOUNDARY)))).status in (400, 413)


async def test_the_work_of_what_is_no_wav_is_guessed_from_its_size() -> None:
    parsed = await read([form([part("file", bytes(32_000), filename="a.mp3"), MODEL], BOUNDARY)])
    assert parsed.request.audio_s == 2
    parsed.close()


@pytest.mark.parametrize(("fields", "sequences"), [((), 1), ((b"4",), 4), ((b"2", b"9"), 9)])
async def test_every_beam_of_an_upload_is_counted(fields: tuple[bytes, ...], sequences: int) -> None:
    parsed = await read([form([FILE, MODEL, *(part("n", value) for value in fields)], BOUNDARY)])
    assert parsed.request.sequences == sequences
    parsed.close()


@pytest.mark.parametrize("value", [b"0", b"-1", b"many", b"1001", b"9" * 40, "\u0663".encode(), b""])
async def test_an_upload_whose_n_is_no_count_is_refused(value: bytes) -> None:
    assert (await error([form([FILE, MODEL, part("n", value)], BOUNDARY)])).param == "n"
