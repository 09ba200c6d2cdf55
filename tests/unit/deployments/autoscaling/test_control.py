from __future__ import annotations

from cluster.fleet import Fleet
from deployments.autoscaling.control import Door, Scaling
from deployments.engine.backend import EngineLoad
from deployments.replica_info import ReplicaInfo
from tests.support.processes import fake_fleet, fake_pool, replica_info


def fleet() -> Fleet:
    grows = fake_pool("grows", slots=10).model_copy(update={"min_replicas": 0, "max_replicas": 3, "cost": 1.0})
    fixed = fake_pool("fixed", slots=10).model_copy(update={"cost": 9.0})
    return fake_fleet(grows, fixed)


def replica(pool: str, running: int, waiting: int = 0) -> tuple[ReplicaInfo, EngineLoad]:
    return replica_info("http://127.0.0.1:1", fake_pool(pool)), EngineLoad(running, waiting)


def door(waiting: int, source: str = "a", booked_s: float = 0.0) -> Door:
    return Door(source=source, model="m", waiting=waiting, booked_s={"fixed": booked_s})


def test_only_pools_that_may_grow_are_decided_on() -> None:
    assert Scaling(fleet(), 0.0).growing == ["m@grows"]
    assert Scaling(fake_fleet(), 0.0).wanted(0.0, [], []) == {}


def test_a_pool_that_never_changes_still_carries_its_part() -> None:
    scaling = Scaling(fleet(), 0.0)
    for second in range(30):
        wanted = scaling.wanted(second, [replica("fixed", 5)], [])
    assert wanted == {"m@grows": 0}


def test_replicas_and_gateways_add_up() -> None:
    scaling = Scaling(fleet(), 0.0)
    for second in range(30):
        wanted = scaling.wanted(second, [replica("fixed", 5)], [door(2), door(3, "b")])
    assert wanted == {"m@grows": 1}, "ten sequences are more than seven of ten slots"


def test_a_gateway_that_is_missing_for_one_call_and_comes_back_wants_no_replica() -> None:
    scaling, both = Scaling(fleet(), 0.0), [door(0, "a", 5000.0), door(0, "b", 5000.0)]
    wanted = [
        scaling.wanted(second, [replica("fixed", 0)], both[:1] if second == 20 else both)["m@grows"]
        for second in range(40)
    ]
    assert wanted == [0] * 40


def test_a_process_of_which_two_actors_tell_counts_once() -> None:
    scaling = Scaling(fleet(), 0.0)
    for second in range(30):
        newer, older = door(5, "a", 5000.0 + second / 100), door(5, "a", 4999.0 + second / 100)
        told = ([newer], [older, newer], [newer, older])[second % 3]
        wanted = scaling.wanted(second, [replica("fixed", 0)], told)
        assert wanted == {"m@grows": 0}, "five that wait have room in ten slots; ten would not"
