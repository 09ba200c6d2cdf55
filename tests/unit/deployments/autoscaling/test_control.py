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


def door(waiting: int) -> Door:
    return Door(model="m", waiting=waiting, booked_s={"fixed": 0.0})


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
        wanted = scaling.wanted(second, [replica("fixed", 5)], [door(2), door(3)])
    assert wanted == {"m@grows": 1}, "ten sequences are more than seven of ten slots"
