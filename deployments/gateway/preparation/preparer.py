"""Prepares requests for one gateway process: small JSON bodies inline, everything else in preparation workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp.abc import AbstractResolver

from cluster.fleet import Gateway
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.media.fetching import FetchedMedia, MediaFetcher
from deployments.gateway.preparation.bodies.body import BodyFile, write_all
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim
from deployments.gateway.preparation.bodies.encoding import DecodeResult, DecodeSettings
from deployments.gateway.preparation.bodies.form_body import FormResult, FormSettings, PreparedForm
from deployments.gateway.preparation.bodies.json_body import (
    JsonSettings,
    MediaNeeded,
    PreparedJson,
    Source,
    prepare_json,
)
from deployments.gateway.preparation.prompts import Prompts
from deployments.gateway.preparation.prompts.renderers import Renderer
from deployments.gateway.preparation.workers.jobs import JsonArguments, read_result
from deployments.gateway.preparation.workers.pool import JobFailed, PoolBusy, PreparationPool


@dataclass(frozen=True)
class Preparer:
    """`prompts` has the renderers for small bodies, `pool` has them for the others. One event loop owns it."""

    prompts: Prompts
    pool: PreparationPool
    media: MediaFetcher

    async def start(self) -> None:
        """Starts what the first long body would have to wait for."""
        await self.pool.start()

    async def load(self, source: Source) -> str:
        """Loads a renderer ahead of its first request. Returns '' or why there is none; it is not tried again."""
        reason = await self.prompts.load(source.renderer, source.checkpoint, source.revision)
        if not reason:
            await self.pool.load(source)
        return reason

    async def close(self) -> None:
        self.prompts.close()
        await self.media.close()
        await self.pool.close()

    async def json_body(
        self, body: bytes | BodyFile, settings: JsonSettings, tenant: str, claim: ByteClaim
    ) -> tuple[PreparedJson, bytes | BodyFile]:
        """The prepared request and the body to send: `body` itself where nothing had to be changed. Raises ApiError.

        Media that the body names by address is fetched on the way, and counts as a part of `claim`.
        """
        try:
            if isinstance(body, bytes):
                return prepare_json(body, settings, self._find)
            return await self._in_worker(body, settings, tenant)
        except MediaNeeded as needed:
            return await self._with_media(body, settings, tenant, needed.addresses, claim)

    async def _with_media(
        self, body: bytes | BodyFile, settings: JsonSettings, tenant: str, addresses: list[str], claim: ByteClaim
    ) -> tuple[PreparedJson, bytes | BodyFile]:
        file, media = await self.media.fetch(addresses, claim)
        with closing(file):
            if isinstance(body, BodyFile):
                return await self._in_worker(body, settings, tenant, file, media)
            with closing(BodyFile("body")) as short:
                write_all(short.fd, body)
                return await self._in_worker(short, settings, tenant, file, media)

    async def _in_worker(
        self,
        body: BodyFile,
        settings: JsonSettings,
        tenant: str,
        media_file: BodyFile | None = None,
        media: Sequence[FetchedMedia] = (),
    ) -> tuple[PreparedJson, BodyFile]:
        with closing(BodyFile("results")) as results, ExitStack() as on_no_change:
            changed = on_no_change.enter_context(closing(BodyFile("changed")))
            arguments: Any = msgspec.to_builtins(JsonArguments(settings, list(media)))
            files = [body.fd, changed.fd, results.fd, *([media_file.fd] if media_file else [])]
            await self._run("json_body", files, arguments, tenant, "the body")
            prepared, is_changed = read_result(results.read())
            await asyncio.sleep(0)  # others are served before the router works on a long prompt
            if not is_changed:
                return prepared, body
            on_no_change.pop_all()
            return prepared, changed

    async def form(self, body: BodyFile, settings: FormSettings, tenant: str) -> tuple[PreparedForm, BodyFile]:
        """The prepared form, and what is sent before its audio file: the caller closes it. Raises ApiError."""
        with ExitStack() as on_failure:
            before = on_failure.enter_context(closing(BodyFile("before the audio")))
            arguments: Any = msgspec.to_builtins(settings)
            value = await self._run("form_body", [body.fd, before.fd], arguments, tenant, "the form")
            result = msgspec.convert(value, FormResult)
            if result.refusal:
                raise result.refusal.error()
            assert result.form is not None
            on_failure.pop_all()
            return result.form, before

    async def decoded(self, body: BodyFile, encoding: str, most: int, tenant: str, what: str) -> BodyFile:
        """A compressed body as a new file, which the caller closes. Raises ApiError."""
        with ExitStack() as on_failure:
            target = on_failure.enter_context(closing(BodyFile("decoded")))
            arguments: Any = msgspec.to_builtins(DecodeSettings(encoding, most, what))
            value = await self._run("decode_body", [body.fd, target.fd], arguments, tenant, what)
            if refusal := msgspec.convert(value, DecodeResult).refusal:
                raise refusal.error()
            on_failure.pop_all()
            return target

    async def _run(self, job: str, files: list[int], arguments: Any, tenant: str, what: str) -> Any:
        try:
            return await self.pool.run(job, files, arguments, tenant=tenant)
        except JobFailed as failure:
            raise ApiError(
                400, f"{what} cannot be used: {failure}; send a shorter or simpler one", code="body_too_complex"
            ) from failure
        except PoolBusy as busy:
            raise ApiError(503, f"{busy}; try again", code="overloaded", retry_after_s=1) from busy

    def _find(self, source: Source) -> Renderer:
        return self.prompts.find(source.renderer, source.checkpoint, source.revision)


def preparer(keyed: bool, settings: Gateway | None = None, resolver: AbstractResolver | None = None) -> Preparer:
    """`keyed=False`: no prompt is rendered (MLPerf runs). `resolver` finds the hosts of media; None: the system's."""
    settings = settings or Gateway()
    media = MediaFetcher(settings.max_json_bytes, settings.media_networks, resolver)
    return Preparer(Prompts(keyed), PreparationPool(), media)
