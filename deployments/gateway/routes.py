"""The routes that models offer, as a table: a new one is a new line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from cluster.fleet import Gateway, Task
from deployments.gateway.limits import Unit
from deployments.gateway.preparation.byte_budget import ByteClaim
from deployments.gateway.preparation.json_body import JsonSettings
from deployments.gateway.preparation.preparer import Preparer
from deployments.gateway.requests import Parsed, read_json
from deployments.gateway.upload import read_upload


@dataclass(frozen=True)
class ReadContext:
    """What reading a body takes beside it. `tenant` is a name, of whom others are not kept waiting for."""

    gateway: Gateway
    preparer: Preparer
    tenant: str
    claim: ByteClaim
    json: JsonSettings


Reader = Callable[[web.Request, ReadContext], Awaitable[Parsed]]


async def _json(request: web.Request, context: ReadContext) -> Parsed:
    most = context.gateway.max_json_bytes
    return await read_json(request, context.preparer, context.json, most, context.claim, context.tenant)


async def _upload(request: web.Request, context: ReadContext) -> Parsed:
    most = context.gateway.max_upload_bytes
    of_route = context.json.route, context.json.unknown_fields
    return await read_upload(request, context.preparer, most, context.claim, context.tenant, *of_route)


@dataclass(frozen=True)
class Route:
    """A route that is forwarded to a replica of the model that its body names.

    `unit` is that of the model's work for it, which counts against the tenant's limits; None where it does none.
    """

    path: str
    tasks: frozenset[Task]
    read: Reader
    unit: Unit | None


TEXT = frozenset({Task.CHAT, Task.VISION_CHAT})
SPEECH = frozenset({Task.TRANSCRIPTION})

ROUTES = (
    Route("/v1/chat/completions", TEXT, _json, Unit.TOKENS),
    Route("/v1/completions", TEXT, _json, Unit.TOKENS),
    Route("/v1/responses", TEXT, _json, Unit.TOKENS),
    Route("/tokenize", TEXT, _json, None),
    Route("/detokenize", TEXT, _json, None),
    Route("/v1/audio/transcriptions", SPEECH, _upload, Unit.AUDIO),
    Route("/v1/audio/translations", SPEECH, _upload, Unit.AUDIO),
)

UNOFFERED = (
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/speech",
    "/v1/moderations",
    "/v1/files",
    "/v1/batches",
    "/v1/fine_tuning/jobs",
    "/v1/assistants",
    "/v1/threads",
    "/v1/vector_stores",
    "/v1/realtime",
    "/v1/rerank",
    "/v1/score",
    "/v1/messages",
)
"""Routes of OpenAI's API and its relatives that no task here offers: named, so that the answer can say just that."""
