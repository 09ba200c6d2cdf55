"""Prepares requests for one gateway process: small JSON bodies inline, everything else in preparation workers."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import msgspec

from deployments.gateway.errors import ApiError
from deployments.gateway.preparation.body import BodyFile
from deployments.gateway.preparation.encoding import DecodeResult, DecodeSettings
from deployments.gateway.preparation.form_body import FormResult, FormSettings, PreparedForm
from deployments.gateway.preparation.jobs import read_result
from deployments.gateway.preparation.json_body import JsonSettings, PreparedJson, Source, prepare_json
from deployments.gateway.preparation.pool import JobFailed, PoolBusy, PreparationPool
from deployments.gateway.prompts import Prompts
from deployments.gateway.prompts.renderers import Renderer


@dataclass(frozen=True)
class Preparer:
    """`prompts` has the renderers for small bodies, `pool` has them for the others. One event loop owns it."""

    prompts: Prompts
    pool: PreparationPool

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
        await self.pool.close()

    async def json_body(
        self, body: bytes | BodyFile, settings: JsonSettings, tenant: str
    ) -> tuple[PreparedJson, bytes | BodyFile]:
        """The prepared request and the body to send: `body` itself where nothing had to be changed. Raises ApiError."""
        if isinstance(body, bytes):
            return prepare_json(body, settings, self._find)
        with closing(BodyFile("results")) as results, ExitStack() as on_no_change:
            changed = on_no_change.enter_context(closing(BodyFile("changed")))
            arguments: Any = msgspec.to_builtins(settings)
            await self._run("json_body", [body.fd, changed.fd, results.fd], arguments, tenant, "the body")
            prepared, is_changed = read_result(results.read())
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

    def _find(self, source: Source, route: str) -> Renderer:
        return self.prompts.find(source.renderer, source.checkpoint, source.revision, route)


def preparer(keyed: bool) -> Preparer:
    """`keyed=False`: no prompt is rendered (MLPerf runs)."""
    return Preparer(Prompts(keyed), PreparationPool())
