"""A JSON body becomes what the router chooses by and what a replica is sent: in a worker, or inline if it is small."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.media.references import check_media, put_media
from deployments.gateway.preparation.engine_work import check_body, check_nodes, check_rendering
from deployments.gateway.preparation.prompts.media import may_hold_media
from deployments.gateway.preparation.prompts.preparing import no_renderer, prepare_prompt
from deployments.gateway.preparation.prompts.renderers import Renderer, Unrendered
from deployments.gateway.proxy.usage import ask_for_usage, insist_on_usage
from deployments.gateway.request.fields import drop_unknown, header_value, refuse_unknown
from deployments.gateway.request.route_bodies import RouteBodies
from deployments.gateway.resume.conditions import CARRIED, why_not
from deployments.gateway.resume.emitted import ask_for_ids
from deployments.routing.prompt import Prompt
from deployments.routing.work import allowed_tokens, answer_count, estimated_tokens, token_limit

RESUME_FIELDS = (
    *CARRIED,
    *("model", "max_tokens", "max_completion_tokens", "min_tokens", "return_token_ids"),
)
"""Fields that a stream's continuation is made of."""

MOST_RESUME_BYTES = 2**16
"""Of `RESUME_FIELDS` as JSON, which a stream keeps until its end."""

MOST_MODEL_NAME = 1000


class Source(msgspec.Struct, frozen=True):
    """What a model's prompts are made by. `renderer` is '' where no replica has said."""

    renderer: str
    checkpoint: str
    revision: str | None = None


FindRenderer = Callable[[Source], Renderer]
"""The renderer of a source. Raises Unrendered where there is none."""


class JsonSettings(msgspec.Struct, frozen=True):
    """Attributes:
    keyed: whether prompts are rendered at all.
    sources: by the model's names.
    resumes: whether streams are followed so that another replica can continue them.
    unknown_fields: what becomes of fields that engines lack, or that are not the client's to set.
    """

    route: RouteBodies
    keyed: bool = True
    tenant_salt: str = ""
    media_domains: list[str] = []
    resumes: bool = True
    unknown_fields: Literal["drop", "refuse"] = "drop"
    sources: dict[str, Source] = {}


class PreparedJson(msgspec.Struct):
    """Attributes:
    tokens: of the prompt: exact where the whole prompt is known, else estimated.
    amount: tokens of prompt and answer that the request may cost, estimated.
    image_tokens: how many of the prompt's stand for pictures, as far as is known.
    sequences: that the engine computes for it (`n`, `best_of`, several prompts).
    allowed_tokens: of all its answers together, by what the body allows; 0 where it sets no limit.
    salt: the `cache_salt` that the engine gets; '' for none.
    prompt: what the engine will compute; None where nothing is known of it.
    unkeyed: why there is no prompt; '' where there is one.
    usage_hidden: whether the engine's usage report was asked for here, and is kept from the client.
    resume_fields: of a stream that another replica could continue; None where none could.
    unfollowed: why that is so; '' where it is followed, or is no stream.
    unknown_fields: those that were dropped, as a header lists them.
    """

    model: str
    streams: bool
    tokens: int
    amount: int
    image_tokens: int = 0
    sequences: int = 1
    allowed_tokens: int = 0
    salt: str = ""
    prompt: Prompt | None = None
    unkeyed: str = ""
    usage_hidden: bool = False
    resume_fields: dict[str, Any] | None = None
    unfollowed: str = ""
    unknown_fields: str = ""


class MediaNeeded(Exception):
    """A body that can be prepared only with the media at these addresses."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(f"{len(addresses)} media are named by address")
        self.addresses = addresses


def prepare_json(
    raw: bytes,
    settings: JsonSettings,
    find: FindRenderer,
    media: Sequence[str] = (),
    tokenise: Callable[[Renderer, Mapping[str, Any]], None] | None = None,
) -> tuple[PreparedJson, bytes]:
    """The prepared request, and the body that replicas are sent: `raw` itself where nothing had to be changed.

    `media` are data: addresses in the order of the addresses of MediaNeeded, which is raised where they are missing.
    `tokenise` takes as long as an engine takes for the texts that it has to tokenise.
    Raises ApiError 400 where the body cannot be used.
    """
    route = settings.route
    raw = raw.removeprefix(codecs.BOM_UTF8)
    check_nodes(raw)
    body = _decoded(raw)
    has_media = may_hold_media(raw)
    if has_media and (addresses := check_media(body, settings.media_domains)):
        if len(addresses) != len(media):
            raise MediaNeeded(addresses)
        put_media(body, dict(zip(addresses, media, strict=True)))
        raw = msgspec.json.encode(body)
    _check_boolean(body, "stream")
    if unknown := drop_unknown(route.fields, body):
        if settings.unknown_fields == "refuse":
            refuse_unknown(route.path, unknown)
        raw = msgspec.json.encode(body)
    check_body(body, len(raw))
    tokens, answers = estimated_tokens(body), answer_count(body)
    prepared = PreparedJson(
        model=model_name(body.get("model")),
        streams=body.get("stream") is True,
        tokens=tokens,
        amount=tokens + allowed_tokens(body) * answers,
        sequences=answers,
        allowed_tokens=(token_limit(body) or 0) * answers,
        unknown_fields=header_value(unknown),
    )
    source = settings.sources.get(prepared.model, Source("", ""))

    def limit_rendering() -> None:
        check_rendering(route.prompt, body, source.renderer)
        with suppress(Unrendered):
            if tokenise:
                tokenise(find(source), body)

    if route.unit is None:
        limit_rendering()
        return prepared, raw

    def renderer() -> Renderer:
        if not settings.keyed:
            raise Unrendered(no_renderer(settings.keyed, source.renderer))
        return find(source)

    if route.asks_for_usage and prepared.streams and insist_on_usage(body):
        prepared.usage_hidden = True
        raw = msgspec.json.encode(body)
    made = prepare_prompt(route.prompt, body, raw, renderer, settings.tenant_salt, tokens, has_media=has_media)
    if not made.passes_ids:
        limit_rendering()
    prepared.tokens, prepared.image_tokens = made.prompt_tokens, made.image_tokens
    prepared.salt, prepared.prompt, prepared.unkeyed = made.salt, made.prompt, made.reason
    sent = made.body
    if route.asks_for_usage and not prepared.usage_hidden:
        sent, prepared.usage_hidden = ask_for_usage(sent, body)
    if prepared.streams:
        prepared.unfollowed = _follow(prepared, settings, body)
        if not prepared.unfollowed:
            sent = ask_for_ids(sent, body)
    return prepared, sent


def _follow(prepared: PreparedJson, settings: JsonSettings, body: Mapping[str, Any]) -> str:
    """Sets `resume_fields`, or returns why a stream of this body could not be continued."""
    if not settings.resumes:
        return "streams are not followed"
    if not settings.route.resumes:
        return f"answers of {settings.route.path} are not followed"
    if reason := why_not(settings.route.prompt, body):
        return reason
    fields = {name: body[name] for name in RESUME_FIELDS if name in body}
    if len(msgspec.json.encode(fields)) > MOST_RESUME_BYTES:
        return "its fields are too long"
    prepared.resume_fields = fields
    return ""


def model_name(value: Any) -> str:
    """Checks a `model` field. Raises ApiError 400 where it is missing or of a wrong type."""
    if value is None or value == "":
        raise ApiError(400, "you must provide a `model`; GET /v1/models lists them", param="model")
    if not isinstance(value, str):
        raise ApiError(400, f"`model` is a JSON {_kind(value)}; send a string", param="model")
    if len(value) > MOST_MODEL_NAME:
        raise ApiError(400, f"`model` has over {MOST_MODEL_NAME} characters; GET /v1/models lists names", param="model")
    return value


def _decoded(raw: bytes) -> dict[str, Any]:
    if not raw:
        raise ApiError(400, "the body is empty; send a JSON object")
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, f"the body is a JSON {_kind(body)}; send an object")
    return body


def _check_boolean(body: Mapping[str, Any], name: str) -> None:
    """Engines take many words for true: a client that sends one may mean something else."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(400, f"`{name}` is a JSON {_kind(value)}; send true or false", param=name)


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
