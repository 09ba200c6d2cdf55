"""The Ray Data job of a test: its rows are the pullers, its output the outcomes, while the pullers still work."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pyarrow as pa
import ray
from ray.data import DataContext, TaskPoolStrategy, from_items
from ray.util.annotations import RayDeprecationWarning
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.addresses import is_loopback
from loadtest.client import Outcome
from loadtest.puller import Puller, PullerJob, decode_frame
from loadtest.seat import Seat

FLUSH_S = 0.1
FRAMES_PER_S = 40
"""Blocks that the driver takes in without falling behind on a small machine; pullers flush more rarely where many."""

NEVER_REPEATED: dict[str, Any] = {"max_retries": 0}
"""Ray takes the frames of a repeated generator for those that the dead one yielded, and drops as many of them."""


def outcomes(job: PullerJob, seats: Sequence[Seat]) -> Generator[list[Outcome]]:
    """Runs one puller a seat and yields their outcomes as they come; ends when all pullers have ended.

    A puller that dies ends alone: its samples go to the others, by their leases. Close the iterator to stop early.
    """
    flush_s = max(FLUSH_S, len(seats) / FRAMES_PER_S)
    rows = [{"replica": seat.replica, "window": seat.window} for seat in seats]

    def pull(batch: pa.Table) -> Iterator[pa.Table]:
        row = batch.to_pylist()[0]
        puller = Puller(job, f"{row['replica']}/{uuid4().hex[:8]}", row["window"], flush_s)
        for frame in puller.frames():
            yield pa.table({"frame": pa.array([frame], pa.large_binary())})

    _set_up_data_context()
    with warnings.catch_warnings():
        # Ray 2.60 names no successor by which a task's `max_retries` could be set.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        dataset = from_items(rows, override_num_blocks=len(rows)).map_batches(
            pull,
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=0,
            compute=TaskPoolStrategy(size=len(rows)),
            ray_remote_args_fn=partial(_worker_options, job.call.url),
        )
    batches = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    with closing(iter(batches)) as tables:
        for table in tables:
            for frame in table.column("frame").to_pylist():
                yield decode_frame(frame)


def _set_up_data_context() -> None:
    context = DataContext.get_current()
    # Every frame becomes a block of its own, at once: Ray would otherwise hold outcomes back until 128 MB are full.
    context.target_max_block_size = 1
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _worker_options(url: str) -> dict[str, Any]:
    """An endpoint on this machine's loopback can be reached from this node alone; others from everywhere."""
    if not is_loopback(urlsplit(url).hostname or ""):
        return NEVER_REPEATED | {"scheduling_strategy": "SPREAD"}
    here = ray.get_runtime_context().get_node_id()
    return NEVER_REPEATED | {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}
