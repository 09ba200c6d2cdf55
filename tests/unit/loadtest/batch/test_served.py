from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadtest.batch.run import Contents, refuse_unknown
from loadtest.batch.served import Served, look_up
from loadtest.endpoint import TargetError
from loadtest.seat import Seat
from loadtest.target import ForeignLoad
from tests.support.pages import Serve

FOREIGN = ForeignLoad(pullers=2, window=5)


def fleet(**slots: list[int]) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": name,
                "aliases": [f"{name}-alias"],
                "replicas": [{"replica": f"{name}#{n}", "slots": many} for n, many in enumerate(given)],
            }
            for name, given in slots.items()
        ]
    }


def listing(*names: str) -> dict[str, Any]:
    return {"data": [{"id": name} for name in names]}


def test_names_are_those_that_the_endpoint_lists(serve: Serve) -> None:
    url = serve({"/v1/models": listing("m", "m-alias"), "/fleet": fleet(m=[4])})
    served = look_up(url, {})
    assert served.names == {"m", "m-alias"}
    assert served.fleet is not None


def test_an_endpoint_of_others_and_none_at_all(serve: Serve) -> None:
    served = look_up(serve({"/v1/models": listing("m")}), {})
    assert (served.names, served.fleet) == ({"m"}, None)
    assert served.seats(["m"], FOREIGN) == (Seat("puller-0", 5), Seat("puller-1", 5))
    with pytest.raises(TargetError, match="nothing answers at"):
        look_up("http://127.0.0.1:1", {})


def test_a_seat_for_each_replica_of_what_is_asked() -> None:
    served = Served("http://h", frozenset(), fleet(m=[4, 8], n=[2], idle=[]))
    assert served.seats(["m-alias"], FOREIGN) == (Seat("m#0", 8), Seat("m#1", 16))
    assert served.seats(["m", "n"], FOREIGN) == (Seat("m#0", 8), Seat("m#1", 16), Seat("n#0", 4))


def test_a_pool_that_shrank_to_nothing_is_asked_all_the_same() -> None:
    assert Served("http://h", frozenset(), fleet(m=[4], idle=[])).seats(["idle"], FOREIGN)[0].window == 5


def test_a_model_that_is_not_served_is_refused_with_its_line() -> None:
    served = Served("http://h", frozenset({"m", "n"}))
    refuse_unknown(Path("in.jsonl"), Contents(3, {"m": 1, "n": 2}), served)
    with pytest.raises(TargetError, match=r"in\.jsonl:3: http://h serves no model 'x'; it serves m, n\. --model"):
        refuse_unknown(Path("in.jsonl"), Contents(3, {"m": 1, "x": 3}), served)
