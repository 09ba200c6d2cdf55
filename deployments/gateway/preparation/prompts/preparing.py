"""From a parsed body to what the router chooses by and what the replica is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.prompts.media import Picture, own_identities
from deployments.gateway.preparation.prompts.passing import drop_unowned_fields, with_ids
from deployments.gateway.preparation.prompts.renderers import RENDERERS, Rendered, Renderer, Unrendered, load_renderer
from deployments.gateway.preparation.prompts.salts import client_salt, engine_salt
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Prompt

logger = logging.getLogger("mixfleet.prompts")

MOST_TOKENS = 1_000_000
"""Estimated tokens above which nothing is tokenised here: more than models take."""

MOST_RENDERERS = 16
BEING_LOADED, NOT_LOADED = "the tokenizer is being loaded", "the tokenizer could not be loaded"


@dataclass(frozen=True)
class Prepared:
    """Attributes:
    prompt: what the engine will compute; None where nothing is known of it.
    prompt_tokens: exact where the whole prompt is known, else estimated.
    image_tokens: how many of them stand for pictures, as far as is known.
    salt: the `cache_salt` that the engine gets; '' for none.
    body: what the replica is sent: the client's own bytes where nothing had to be changed.
    reason: why there is no prompt; '' where there is one. Few different ones: fit for a metric's label.
    passes_ids: whether `body` has token ids in place of text, which an engine need not tokenise.
    """

    prompt: Prompt | None
    prompt_tokens: int
    image_tokens: int
    salt: str
    body: bytes
    reason: str = ""
    passes_ids: bool = False


class Prompts:
    """The renderers of a process, by what they are made of. `keyed=False` has none (MLPerf runs)."""

    def __init__(self, keyed: bool = True) -> None:
        self.keyed = keyed
        self._renderers: dict[tuple[str, str, str | None], asyncio.Task[Renderer | None]] = {}

    async def load(self, renderer: str, checkpoint: str, revision: str | None = None) -> str:
        """Loads a renderer ahead of its first request. Returns '' or why there is none; it is not tried again."""
        if not self.keyed or renderer not in RENDERERS:
            return no_renderer(self.keyed, renderer)
        return "" if await asyncio.shield(self._loading(renderer, checkpoint, revision)) else "tokenizer not loaded"

    def close(self) -> None:
        for task in self._renderers.values():
            task.cancel()

    def find(self, name: str, checkpoint: str, revision: str | None) -> Renderer:
        """Raises Unrendered where there is none. The first request of a checkpoint does not wait for its tokenizer."""
        if not self.keyed or name not in RENDERERS:
            raise Unrendered(no_renderer(self.keyed, name))
        task = self._loading(name, checkpoint, revision)
        if not task.done():
            raise Unrendered(BEING_LOADED)
        made = None if task.cancelled() else task.result()
        if made is None:
            raise Unrendered(NOT_LOADED)
        return made

    def _loading(self, name: str, checkpoint: str, revision: str | None) -> asyncio.Task[Renderer | None]:
        key = (name, checkpoint, revision)
        if key not in self._renderers:
            if len(self._renderers) >= MOST_RENDERERS:
                raise Unrendered("too many checkpoints")
            self._renderers[key] = asyncio.create_task(_load(name, checkpoint, revision))
        return self._renderers[key]


def no_renderer(keyed: bool, name: str) -> str:
    return f"no renderer '{name}'" if keyed else "prompts are not used"


def prepare_prompt(
    form: PromptForm | None,
    body: dict[str, Any],
    raw: bytes,
    find: Callable[[], Renderer],
    salt: str,
    tokens: int,
    *,
    has_media: bool = True,
    pass_ids: bool = True,
) -> Prepared:
    """Salts a body, gives its media our identities, and renders its prompt.

    `raw` is the bytes that `body` was read from; `body` may be changed in place. `find` raises Unrendered where there
    is no renderer. `salt` is the tenant's, `tokens` about how many the prompt has, `has_media` whether the body may
    hold any. With `pass_ids` the token ids are sent on where the engine is known to make the same of them.

    Raises ApiError 400 for a media part that names a `uuid` and sends no media.
    """
    secured = _secure(form, body, salt, tokens, has_media)
    rendered: Rendered | None = None
    reason = ""
    try:
        if form is None:
            raise Unrendered("a route without prompts")
        renderer = find()
        if secured.tokens > MOST_TOKENS:
            raise Unrendered("too long to be tokenised here")
        rendered = _render(renderer, form, body, secured.pictures)
    except Unrendered as refusal:
        reason = str(refusal)
    sent = body
    if rendered and rendered.exact and pass_ids:
        sent = with_ids(form, body, rendered.prompt.token_ids)
    data = raw if sent is body and not secured.changed else _encoded(sent)
    return _prepared(rendered, secured, data, reason, passes_ids=sent is not body)


@dataclass(frozen=True)
class _Secured:
    salt: str
    pictures: list[Picture]
    changed: bool
    tokens: int
    """Estimated."""


def _secure(form: PromptForm | None, body: dict[str, Any], tenant_salt: str, tokens: int, has_media: bool) -> _Secured:
    """Puts our own salt and identities into `body`, in place, and takes out token ids that a client gave."""
    given = client_salt(body)
    salt = engine_salt(tenant_salt, given or "")
    try:
        pictures, changed = own_identities(body, salt) if has_media else ([], False)
    except RecursionError:
        raise _too_deep() from None
    changed |= drop_unowned_fields(body)
    if form and given is not None and salt:
        body["cache_salt"] = salt
        changed = True
    return _Secured(salt if form else "", pictures, changed, tokens)


def _render(renderer: Renderer, form: PromptForm, body: dict[str, Any], pictures: list[Picture]) -> Rendered:
    try:
        return renderer.render(form, body, pictures)
    except Unrendered:
        raise
    except Exception as error:  # the engine judges malformed bodies; whatever they break here is no more than no prompt
        logger.debug("a body was not rendered", exc_info=True)
        raise Unrendered(f"not a body of this route ({type(error).__name__})") from error


async def _load(name: str, checkpoint: str, revision: str | None) -> Renderer | None:
    try:
        return await asyncio.to_thread(load_renderer, name, checkpoint, revision)
    except Exception as error:  # transformers and the hub fail in many ways; requests flow on without prompts
        logger.warning("no prompts of %s for the router, its tokenizer cannot be loaded: %s", checkpoint, error)
        return None


def _prepared(rendered: Rendered | None, secured: _Secured, data: bytes, reason: str, passes_ids: bool) -> Prepared:
    if rendered is None:
        return Prepared(None, secured.tokens, 0, secured.salt, data, reason, passes_ids)
    prompt = rendered.prompt
    tokens = len(prompt.token_ids) if rendered.whole else max(secured.tokens, len(prompt.token_ids))
    image_tokens = sum(media.tokens for media in prompt.media) if prompt.media else 0
    return Prepared(prompt, tokens, image_tokens, secured.salt, data, passes_ids=passes_ids)


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> ApiError:
    return ApiError(400, "the body is nested too deeply; send a flatter one")
