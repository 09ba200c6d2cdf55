"""What gateways take to know of each other's bookings: what has changed, found and summed, without the sockets between.

64 replicas with 32 gateways, and 1,000 with 8. Each tells 20 times a second, and a tenth of what it has open has ended
and begun anew since the last time. Cores of one gateway, for its own messages and those of all others.
"""

from __future__ import annotations

import random
import time

from deployments.routing import Booking, Request, Router
from deployments.routing.seeds import seed_of

FLEETS = ((64, 32), (1000, 8))
OPEN_PER_REPLICA = 4
MESSAGES = 60
PER_SECOND = 20
ANEW = 0.1


def router_of(replicas: int) -> Router:
    router = Router("m", seed=1)
    for number in range(replicas):
        router.add(f"r{number}", f"incarnation-{number:08d}", "pool", 512, seed_of("h200"))
    return router


def placed(router: Router, chance: random.Random) -> Booking:
    booking = router.place(Request(tokens=chance.randrange(100, 8000)), 1.0)
    assert booking
    return booking


def run() -> dict[str, float]:
    figures = {}
    for replicas, gateways in FLEETS:
        chance = random.Random(1)
        teller, listener = router_of(replicas), router_of(replicas)
        opened = [placed(teller, chance) for _ in range(OPEN_PER_REPLICA * replicas // gateways)]
        telling_s = listening_s = 0.0
        for number in range(MESSAGES):
            for _ in range(max(1, round(ANEW * len(opened)))):
                teller.release(opened.pop(chance.randrange(len(opened))), 2.0)
                opened.append(placed(teller, chance))
            started = time.thread_time()
            message = teller.open_bookings(everything=number % PER_SECOND == 0)
            told = time.thread_time()
            listener.set_others("teller", message)
            telling_s, listening_s = telling_s + told - started, listening_s + time.thread_time() - told
        seconds = MESSAGES / PER_SECOND
        figures[f"{replicas} replicas, {gateways} gateways: telling, core"] = telling_s / seconds
        figures[f"{replicas} replicas, {gateways} gateways: listening, core"] = listening_s / seconds * (gateways - 1)
    return figures
