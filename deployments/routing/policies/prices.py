"""The terms of the rule `seconds` for all candidates: one by one in plain Python, or at once with numpy.

Both do the same arithmetic, and tests/unit/deployments/routing/policies/test_prices.py holds them together. A fleet of
a few replicas is priced in a third of the time that forty calls of numpy take; one of many, the other way round.

A request with `u` of its `n` tokens to compute takes c0 + u * (c1 - u * c2) seconds: a polynomial of `u` whose
coefficients follow from the rates and the request (`work.FEATURES`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from deployments.routing.policies.ties import cheapest
from deployments.routing.policy import Situation
from deployments.routing.work import Floats, Request, image_share

OPEN_SHARE = 0.1
"""How much an open request counts against one whose first token has not come."""

TERMS = ("waiting_s", "own_s", "others_s", "decoding_s", "price_s")


@dataclass(frozen=True, slots=True)
class Others:
    """What a request costs those that come after it, wherever it goes.

    Attributes:
        fleet: seconds of each feature at the mean of the candidates' speeds.
        queue: how many typical requests wait at each candidate.
        own_share: how much a candidate's own requests count on top of that.
        again: how often what a full cache gives up is computed again.
        weight: of the whole.
    """

    fleet: Sequence[float]
    queue: float
    own_share: float
    again: float
    weight: float


@dataclass(frozen=True, slots=True)
class Priced:
    """The cheapest candidate.

    Attributes:
        least_uncached: tokens to compute at the candidate that has most of the prompt.
        rows, terms: of all candidates, where they are listed.
    """

    row: int
    first_token_s: float
    least_uncached: float
    rows: Sequence[int]
    terms: Mapping[str, Sequence[float]]


def price_one_by_one(situation: Situation, others: Others, tokens_ahead: float) -> Priced:
    """In plain Python. `tokens_ahead`: tokens that are delayed for each answer under way. Lists its terms."""
    table, request, now = situation.table, situation.request, situation.now
    tokens, weight = request.tokens, others.weight
    images = image_share(request)
    f0, f1, f2 = _polynomial(others.fleet, request, images)
    theta, booked, heads = table.theta.T.tolist(), table.booked_work.T.tolist(), table.head_work.T.tolist()
    cached = [0.0] * table.rows if situation.cached is None else situation.cached.tolist()
    columns = (table.waiting_since, table.all_open, table.all_waiting, table.displaces, table.step_s)
    since, opened, waiting, displaces, steps = (column.tolist() for column in columns)
    sequences, audio_s = request.sequences, request.audio_s
    rows: list[int] = []
    parts: list[tuple[float, float, float, float]] = []
    price: list[float] = []
    least = inf
    for row, room in enumerate(situation.room.tolist()):
        if not room:
            continue
        t0, t1, t2, t3, t4 = theta[0][row], theta[1][row], theta[2][row], theta[3][row], theta[4][row]
        uncached = tokens - cached[row]
        least = min(least, uncached)
        own = (
            t0 * sequences
            + t4 * audio_s
            + uncached * (t1 * 1e-3 + t2 * 1e-6 * tokens + t3 * images - uncached * (t2 * 0.5e-6))
        )
        left = 0.0
        if waiting[row]:
            left = booked[0][row] * t0 + booked[1][row] * t1 + booked[2][row] * t2
            left += booked[3][row] * t3 + booked[4][row] * t4
        passed = now - since[row]
        if passed > 0.0:
            head = heads[0][row] * t0 + heads[1][row] * t1 + heads[2][row] * t2
            head += heads[3][row] * t3 + heads[4][row] * t4
            slower = passed / head - 1.0
            if slower > 1.0:
                left = left * slower - head
                own *= slower
            else:
                left = max(left - min(passed, head), 0.0)
        behind = others.queue + others.own_share * (waiting[row] + OPEN_SHARE * opened[row])
        behind += others.again * displaces[row]
        other = (f0 + uncached * (f1 - uncached * f2)) * behind * weight
        decoding = steps[row] * (opened[row] - waiting[row]) * tokens_ahead
        rows.append(row)
        parts.append((left, own, other, decoding))
        price.append(left + own + other + decoding)
    compared = price
    if request.deadline is not None:
        left_s = request.deadline - now
        first = [left + own for left, own, _, _ in parts]
        compared = [p if f <= left_s else inf for p, f in zip(price, first, strict=True)]
        if min(compared) == inf:
            compared = first
    best = min(compared)
    place = compared.index(best)
    if (equal := compared.count(best)) > 1:
        place = [at for at, value in enumerate(compared) if value == best][situation.chance.randrange(equal)]
    left, own, _, _ = parts[place]
    terms = dict(zip(TERMS, (*zip(*parts, strict=True), price), strict=True))
    return Priced(rows[place], left + own, least, rows, terms)


def price_at_once(situation: Situation, others: Others, tokens_ahead: float) -> Priced:
    """The same with numpy, over all rows of the table. Lists its terms only where they are wanted."""
    table, request, now = situation.table, situation.request, situation.now
    tokens, closed = request.tokens, situation.closed
    images = image_share(request)
    f0, f1, f2 = _polynomial(others.fleet, request, images)
    theta = table.theta.T
    own: Floats = theta[1] * 1e-3
    own += theta[2] * (1e-6 * tokens)
    if images:
        own += theta[3] * images
    uncached: Floats | float = float(tokens)
    least = float(tokens)
    if situation.cached is not None:
        uncached = tokens - situation.cached
        least = float((uncached + closed).min())
    own -= theta[2] * (uncached * 0.5e-6)
    own *= uncached
    own += theta[0] * request.sequences
    if request.audio_s:
        own += theta[4] * request.audio_s
    left, slower = table.waiting_and_slowness(slice(None), now)
    if slower is not None:
        own *= slower
    price = left + own
    decoding = (table.all_open - table.all_waiting) * table.step_s
    decoding *= tokens_ahead
    price += decoding
    behind: Floats | None = None
    if others.queue:
        behind = table.all_open * (others.own_share * OPEN_SHARE)
        behind += table.all_waiting * others.own_share
        behind += others.queue
    if others.again:
        again = table.displaces * others.again
        behind = again if behind is None else behind + again
    if behind is not None:
        behind *= (f0 + uncached * (f1 - uncached * f2)) * others.weight
        price += behind
    compared = price + closed
    if request.deadline is not None:
        first = left + own + closed
        in_time = first <= request.deadline - now
        compared = np.where(in_time, compared, inf) if in_time.any() else first
    row = cheapest(compared, situation.chance)
    rows: list[int] = []
    terms: Mapping[str, Sequence[float]] = {}
    if situation.explained:
        others_s = np.zeros(table.rows) if behind is None else behind
        named = zip(TERMS, (left, own, others_s, decoding, price), strict=True)
        rows, terms = situation.rows.tolist(), {name: values[situation.rows].tolist() for name, values in named}
    return Priced(row, float(left[row] + own[row]), least, rows, terms)


def _polynomial(seconds: Sequence[float], request: Request, images: float) -> tuple[float, float, float]:
    """c0, c1, c2 of the seconds of a request, by those of each feature."""
    return (
        seconds[0] * request.sequences + seconds[4] * request.audio_s,
        seconds[1] * 1e-3 + seconds[2] * 1e-6 * request.tokens + seconds[3] * images,
        seconds[2] * 0.5e-6,
    )
