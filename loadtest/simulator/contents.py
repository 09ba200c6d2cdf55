"""Keys of the KV blocks of a trace's requests, without a token: equal keys for what two requests have in common.

A key stands for everything up to its block's end, as KvBlocks and the router's index both want it, so one key serves
both: the router is told no more than its own hashing of token ids would tell it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loadtest.traces.trace import TraceRequest

BLOCK_TOKENS_UNSAID = 64
"""Of a trace that names no blocks."""

_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that distinct numbers stay distinct modulo 2**64, and all bits of a key look random to those who hash it."""


def block_tokens_of(requests: Iterable[TraceRequest]) -> int:
    """The smallest block that the requests name."""
    return min((request.block_tokens for request in requests if request.blocks), default=BLOCK_TOKENS_UNSAID)


class Contents:
    """Gives out keys. Belongs to one run: a key means nothing in another."""

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self._children: dict[tuple[object, ...], int] = {}
        self._given = 0

    def keys(self, requests: Sequence[TraceRequest]) -> list[list[int]]:
        """Of every request's full blocks, prompt and answer."""
        following = _following(requests)
        return [self._keys(request, following.get(place)) for place, request in enumerate(requests)]

    def _keys(self, request: TraceRequest, following: TraceRequest | None) -> list[int]:
        """`following`: the next request of its session, whose prompt may tell what the answer became."""
        full = (request.input_tokens + request.output_tokens) // self.block_tokens
        known = self._known(request, request.input_tokens // self.block_tokens)
        if following is not None and following.blocks[: len(request.blocks)] == request.blocks and not request.images:
            known = max(known, self._known(following, full), key=len)
        return known + [self._new() for _ in range(full - len(known))]

    def _known(self, request: TraceRequest, most: int) -> list[int]:
        """Keys of the leading full blocks whose whole content the trace tells: `most` of them at most."""
        root: tuple[object, ...] = (request.model,)
        if not request.images and request.block_tokens == self.block_tokens:
            most = min(most, request.text_tokens // self.block_tokens)
            return self._chain(root, ((block,) for block in request.blocks[:most]))
        return self._chain(root, _pieces(request, self.block_tokens, most))

    def _chain(self, root: tuple[object, ...], contents: Iterable[tuple[object, ...]]) -> list[int]:
        keys: list[int] = []
        children = self._children
        parent: object = root
        for content in contents:
            node = (parent, content)
            key = children.get(node)
            if key is None:
                key = children[node] = self._new()
            keys.append(key)
            parent = key
        return keys

    def _new(self) -> int:
        self._given += 1
        return (self._given * _SPREAD) & 0xFFFFFFFFFFFFFFFF


def _following(requests: Sequence[TraceRequest]) -> dict[int, TraceRequest]:
    """Place of a request -> the next one of its session."""
    last: dict[str, int] = {}
    found: dict[int, TraceRequest] = {}
    for place, request in enumerate(requests):
        if request.session is not None:
            if request.session in last:
                found[last[request.session]] = request
            last[request.session] = place
    return found


def _pieces(request: TraceRequest, size: int, most: int) -> Iterable[tuple[object, ...]]:
    """For each leading block of `size` tokens what lies in it: (content, its first token, tokens) again and again."""
    left = request.text_tokens
    runs: list[tuple[object, int]] = []
    for block in request.blocks:
        runs.append((block, min(request.block_tokens, left)))
        left -= runs[-1][1]
    runs += [(("image", image.identity), image.tokens) for image in request.images]
    place, offset = 0, 0
    for _ in range(most):
        pieces: list[object] = []
        wanted = size
        while wanted and place < len(runs):
            content, tokens = runs[place]
            taken = min(wanted, tokens - offset)
            if taken:
                pieces += [content, offset, taken]
            wanted, offset = wanted - taken, offset + taken
            if offset == tokens:
                place, offset = place + 1, 0
        if wanted:
            return
        yield tuple(pieces)
