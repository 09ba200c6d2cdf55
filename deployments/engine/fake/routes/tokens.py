"""POST /tokenize and /detokenize."""

from __future__ import annotations

from aiohttp import web

from cluster.fleet import Task
from deployments.engine.fake.answering import json_response
from deployments.engine.fake.engine import ENGINE
from deployments.engine.fake.errors import EngineError, bad_body
from deployments.engine.fake.prompts import chat_prompt
from deployments.engine.fake.requests import DetokenizeRequest, TokenizeRequest, read_json
from deployments.engine.fake.tokenizer import decode, encode, piece


async def tokenize(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    body = await read_json(request, TokenizeRequest)
    engine.check_model(body.model)
    if body.messages is not None:
        tokens = chat_prompt(body.messages, engine.config.task is Task.VISION_CHAT).token_ids
    elif body.prompt is not None:
        tokens = encode(body.prompt)
    else:
        raise bad_body("1 validation error: Field required: 'prompt' or 'messages'", "body.prompt")
    return json_response(
        {
            "count": len(tokens),
            "max_model_len": engine.config.max_model_len,
            "tokens": tokens,
            "token_strs": list(map(piece, tokens)) if body.return_token_strs else None,
        }
    )


async def detokenize(request: web.Request) -> web.Response:
    body = await read_json(request, DetokenizeRequest)
    request.app[ENGINE].check_model(body.model)
    try:
        return json_response({"prompt": decode(body.tokens)})
    except ValueError as error:
        raise EngineError(str(error), param="tokens") from error
