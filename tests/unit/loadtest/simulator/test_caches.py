from __future__ import annotations

import random

from deployments.engine.fake.kv_blocks import KvBlocks, Stored
from deployments.routing.index import PrefixIndex
from loadtest.simulator.caches import CacheNews

PROMPTS = [[100 * group + n for n in range(6)] for group in range(5)]


def test_the_index_knows_what_the_cache_holds_and_no_more() -> None:
    """However it fills, evicts and is cleared."""
    chance = random.Random(5)
    index, blocks = PrefixIndex("simulated"), KvBlocks(14, 16)
    index.add(0)
    news = CacheNews(index, 0)
    blocks.on_event = news.take
    removed = 0
    for turn in range(200):
        keys = chance.choice(PROMPTS)[: chance.randint(1, 6)]
        allocation = blocks.allocate(keys, 16 * len(keys) + 1)
        assert allocation is not None
        blocks.publish(allocation, keys[len(allocation.keys) :])
        blocks.free(allocation)
        if turn % 50 == 49:
            blocks.clear()
        events = news.gathered()
        removed += sum(not isinstance(event, Stored) for event in events)
        news.apply(events)
        for prompt in PROMPTS:
            claimed = max((count for _, count in index.matches(prompt)), default=0)
            assert claimed == blocks.matched(prompt)
    assert removed > 10


def test_news_are_gathered_once() -> None:
    news = CacheNews(PrefixIndex("simulated"), 0)
    news.take(Stored((1,), None))
    assert (len(news.gathered()), len(news.gathered())) == (1, 0)
