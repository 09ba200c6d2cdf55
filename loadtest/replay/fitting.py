"""Makes a trace fit a model smaller than the one it was recorded with: shorter by a factor, or cut at its context."""

from __future__ import annotations

from dataclasses import replace

from loadtest.traces.trace import ImageRef, TraceError, TraceRequest

LEAST_SIDE = 32
"""Pixels; smaller pictures are refused by some processors."""


def shortened(request: TraceRequest, scale: float) -> TraceRequest:
    """Every length times `scale`, blocks and pictures included, so that the same share of it is shared.

    A clip of speech stays as long as it is.
    """
    if scale == 1 or request.audio_s:
        return request
    text = max(1, round(request.text_tokens * scale))
    block = max(1, round(request.block_tokens * scale))
    images = tuple(_smaller(image, scale) for image in request.images)
    return replace(
        request,
        input_tokens=text + sum(image.tokens for image in images),
        output_tokens=max(1, round(request.output_tokens * scale)),
        blocks=request.blocks[: -(-text // block)],
        block_tokens=block,
        images=images,
    )


def fitted(request: TraceRequest, context: int | None, spare: int = 0) -> TraceRequest:
    """The request cut so that prompt, answer and `spare` tokens lie within `context` (None: unknown, nothing is cut).

    The answer gets at most half of the context; the prompt loses its end, which nothing shares.

    Raises TraceError where its pictures alone fill the context.
    """
    if context is None:
        return request
    output = min(request.output_tokens, max(1, context // 2))
    if request.audio_s:
        return replace(request, output_tokens=output)
    text = min(request.text_tokens, context - spare - output - request.image_tokens)
    if text < min(1, request.text_tokens):
        raise TraceError(
            f"pictures of {request.image_tokens} tokens and an answer of {output} do not fit a context of {context} "
            "tokens; shorten them with --scale"
        )
    return replace(
        request,
        input_tokens=text + request.image_tokens,
        output_tokens=output,
        blocks=request.blocks[: -(-text // request.block_tokens)],
    )


def _smaller(image: ImageRef, scale: float) -> ImageRef:
    return replace(
        image,
        tokens=max(1, round(image.tokens * scale)),
        width=image.width and max(LEAST_SIDE, round(image.width * scale**0.5)),
        height=image.height and max(LEAST_SIDE, round(image.height * scale**0.5)),
    )
