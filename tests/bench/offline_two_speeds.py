"""Offline over two fake pools of speed 1 : 3, against the sum of the two alone. Nothing is configured by hand."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.fleet import Pool, Task
from tests.support.offline import offline, rate
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

SAMPLES = 600
SLOTS = 4
MODEL_LEN = 128
"""Prompts take some 80 tokens and answers the rest: each sample is about 50 steps of a batch."""


def pools() -> tuple[Pool, Pool]:
    slow, fast = (
        fake_pool(name, slots=SLOTS, decode_step_s=step, prefill_tokens_per_s=1e6, max_model_len=MODEL_LEN)
        for name, step in (("slow", 0.012), ("fast", 0.004))
    )
    return slow, fast


def measured(*members: tuple[Pool, str]) -> float:
    """Samples per second of a fleet of these pools and engine addresses."""
    fleet = fake_fleet(*(pool for pool, _ in members), mlperf=True)
    announced = [replica_info(url, pool, task=Task.CHAT, max_model_len=MODEL_LEN) for pool, url in members]
    with gateway(fleet, announced) as (url, _):
        return rate(offline("gpt-oss", url, SAMPLES))


def run() -> dict[str, float]:
    slow, fast = pools()
    with fake_engine(slow) as slow_url, fake_engine(fast) as fast_url:
        members: Sequence[tuple[Pool, str]] = ((slow, slow_url), (fast, fast_url))
        alone = [measured(member) for member in members]
        together = measured(*members)
    return {
        "slow alone, samples/s": alone[0],
        "fast alone, samples/s": alone[1],
        "both, samples/s": together,
        "both / sum of the two alone": together / sum(alone),
    }
