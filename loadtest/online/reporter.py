"""What LoadGen is told, in batches: it cannot take single calls as fast as answers may come."""

from __future__ import annotations

import asyncio

from loadtest.loadgen.session import COMPLETION_GAP_S, Reported, complete, first_tokens


class Reporter:
    """Collects first tokens and answers, and reports them a few times a millisecond at most, first tokens first.

    What waits here counts as latency in LoadGen: COMPLETION_GAP_S at most while the event loop keeps up.
    """

    def __init__(self, token_latencies: bool) -> None:
        self._token_latencies = token_latencies
        self._firsts: list[tuple[int, bytes]] = []
        self._answers: list[Reported] = []
        self._news = asyncio.Event()

    def first(self, response: int, data: bytes) -> None:
        if self._token_latencies:
            self._firsts.append((response, data))
            self._news.set()

    def answer(self, response: int, data: bytes, tokens: int) -> None:
        self._answers.append((response, data, tokens))
        self._news.set()

    async def run(self) -> None:
        """Reports until it is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            # Taken together: an answer that comes while its first token is reported waits for the next turn.
            firsts, self._firsts = self._firsts, []
            answers, self._answers = self._answers, []
            if firsts:
                first_tokens(firsts)
                await asyncio.sleep(COMPLETION_GAP_S)
            if answers:
                complete(answers)
                await asyncio.sleep(COMPLETION_GAP_S)
