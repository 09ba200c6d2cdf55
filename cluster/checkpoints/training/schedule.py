"""One training loop for both toys: AdamW, a short warm-up, then a cosine down to a floor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cluster.progress import Progress


@dataclass(frozen=True)
class Schedule:
    """`floor` is the last step's learning rate as a share of the peak."""

    steps: int
    warm_up: int
    weight_decay: float
    floor: float = 0.0
    peak: float = 2e-3


def train(
    model: torch.nn.Module,
    schedule: Schedule,
    batch: Callable[[int], dict[str, Any]],
    held_out: Callable[[], float],
    every: int = 200,
) -> None:
    """Trains on `batch(step)`, the keyword arguments of one forward pass; shows loss and held-out accuracy."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=schedule.peak, weight_decay=schedule.weight_decay, betas=(0.9, 0.98)
    )

    def rate(step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / schedule.steps)))
        return min(1.0, (step + 1) / schedule.warm_up) * max(schedule.floor, cosine)

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    accuracy, began = 0.0, time.monotonic()
    with Progress("training", "steps") as progress:
        for step in range(schedule.steps):
            loss = model(**batch(step)).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            if step % every == every - 1 or step == schedule.steps - 1:
                model.eval()
                with torch.no_grad():
                    accuracy = held_out()
                model.train()
            note = f"loss {loss.item():.4f}, held-out accuracy {accuracy:.3f}"
            progress.update(schedule.steps, step + 1, time.monotonic() - began, note)
    print(f"held-out accuracy {accuracy:.4f}")
