"""CPU of one gateway for each KV block that a replica stores and later evicts: by reports, and by raw events."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from statistics import median

from deployments.engine.cache_reporter.cache_log import CacheLog
from deployments.kv_cache.blocks import BlockAccounts
from deployments.kv_cache.events import KvEvent, Removed, Stored
from deployments.kv_cache.messages import Decoder
from deployments.kv_cache.messages import encode as encode_events
from deployments.kv_cache.reports import decode_report
from deployments.kv_cache.reports import encode as encode_report
from deployments.routing import Router
from deployments.routing.keys import PrefixKeys
from deployments.routing.seeds import seed_of

BLOCK = 16
BLOCKS_IN_BATCH = 32
BATCHES = 600
HELD_BATCHES = 300
BATCHES_IN_REPORT = 2
"""An engine makes some hundred steps a second, a reporter at most fifty reports."""
ROUNDS = 5

KEYS = PrefixKeys(bytes(32))


def batches() -> list[list[KvEvent]]:
    """Prompts of half a thousand tokens, each stored in one step; from some moment on each makes room for itself."""
    chance = random.Random(1)
    made: list[list[KvEvent]] = []
    names: list[list[int]] = []
    for _ in range(BATCHES):
        names.append([chance.randrange(2**63) for _ in range(BLOCKS_IN_BATCH)])
        tokens = [chance.randrange(200_000) for _ in range(BLOCK * BLOCKS_IN_BATCH)]
        room: list[KvEvent] = [Removed(names[-HELD_BATCHES])] if len(names) >= HELD_BATCHES else []
        made.append([*room, Stored(names[-1], None, tokens, BLOCK)])
    return made


def router() -> Router:
    made = Router("m", prefix_keys=KEYS)
    made.add("r", "r", "p", 1, seed_of(None))
    return made


def by_raw_events(payloads: Sequence[bytes]) -> None:
    """What a gateway would have to do without a reporter."""
    decoder, accounts, known = Decoder(), BlockAccounts(KEYS, "m"), router()
    (replica,) = known.replicas.values()
    for payload in payloads:
        for event in decoder.decode(payload):
            accounts.apply(event)
        known.change(replica, accounts.take_change())


def by_reports(payloads: Sequence[bytes]) -> None:
    known = router()
    (replica,) = known.replicas.values()
    for payload in payloads:
        known.change(replica, decode_report(payload).change())


def reports(events: Sequence[list[KvEvent]]) -> list[bytes]:
    log = CacheLog(KEYS, "m")
    made = []
    for number, batch in enumerate(events, 1):
        log.apply(batch)
        if not number % BATCHES_IN_REPORT:
            made.append(encode_report(log.report()))
    return made


def microseconds_per_block(work: Callable[[Sequence[bytes]], None], payloads: Sequence[bytes]) -> float:
    began = time.process_time()
    work(payloads)
    return 1e6 * (time.process_time() - began) / (BATCHES * BLOCKS_IN_BATCH)


def run() -> dict[str, float]:
    events = batches()
    raw, reported = [encode_events(batch, 0.0) for batch in events], reports(events)
    blocks = BATCHES * BLOCKS_IN_BATCH
    gc.collect()
    pairs = [
        (microseconds_per_block(by_raw_events, raw), microseconds_per_block(by_reports, reported))
        for _ in range(ROUNDS)
    ]
    return {
        "by raw events, us per block": median(old for old, _ in pairs),
        "by reports, us per block": median(new for _, new in pairs),
        "raw events / reports": median(old / new for old, new in pairs),
        "bytes per block, raw events": sum(map(len, raw)) / blocks,
        "bytes per block, reports": sum(map(len, reported)) / blocks,
    }
