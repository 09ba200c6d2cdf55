from __future__ import annotations

import math
from typing import Any

from cluster.fleet import Fleet, Model, Task
from deployments.engine.backend import EngineLoad
from deployments.gateway.replicas.directory import Directory, ServedModel
from deployments.routing import Request
from tests.support.processes import fake_fleet, fake_pool, replica_info


def directory(**gateway: Any) -> tuple[Directory, ServedModel]:
    made = Directory(fake_fleet(fake_pool("a"), fake_pool("b"), **gateway))
    return made, made.models[0]


A = replica_info("http://h:1", fake_pool("a", slots=4))
B = replica_info("http://h:2", fake_pool("b", slots=5))


def test_a_model_is_found_by_name_and_alias() -> None:
    found, served = directory()
    assert found.find("m") is found.find("alias") is served
    assert found.find("M") is None


def test_replicas_come_with_room_for_more_than_their_slots() -> None:
    found, served = directory(overcommit=1.5)
    found.update([A, B])
    limits = {replica.pool: served.router.table.limit[replica.row] for replica in served.router.replicas.values()}
    assert limits == {"a": 6, "b": 8}
    assert list(served.replica_infos) == ["http://h:1", "http://h:2"]


def test_a_replica_that_stays_keeps_its_bookings() -> None:
    found, served = directory()
    found.update([A])
    (before,) = served.router.replicas.values()
    booking = served.router.place(Request(tokens=7), 1.0)
    assert booking is not None
    found.update([B, A])
    assert before in served.router.replicas.values()
    assert served.router.table.open_requests[before.row] == 1
    assert not served.router.table.leaving[before.row]
    served.router.release(booking, 2.0)


def test_a_new_incarnation_starts_with_nothing_and_the_old_one_leaves() -> None:
    found, served = directory()
    router = served.router
    found.update([A])
    (old,) = router.replicas.values()
    booking = router.place(Request(tokens=7), 1.0)
    assert booking is not None
    restarted = replica_info("http://h:3", fake_pool("a"), replica=A.replica, incarnation="new")
    found.update([restarted])
    (new,) = router.replicas.values()
    assert (new.name, new.incarnation, router.table.open_requests[new.row]) == (old.name, "new", 0)
    assert new.row != old.row
    assert router.table.leaving[old.row]
    router.release(booking, 2.0)
    assert router.table.present.sum() == 1


def test_models_are_missing_until_they_have_a_replica() -> None:
    pool = fake_pool()
    models = [Model(name=name, task=Task.CHAT, checkpoint="c", pools=[pool]) for name in ("m", "n")]
    found = Directory(Fleet(name="two", models=models))
    assert found.missing() == ["m", "n"]
    found.update([A])
    assert found.missing() == ["n"]
    found.update([A, replica_info("http://h:9", pool, model="n")])
    assert found.missing() == []
    found.update([])
    assert found.missing() == ["m", "n"]


def test_engines_tell_how_busy_they_are() -> None:
    found, served = directory()
    found.update([A, B])
    found.report({"http://h:2": EngineLoad(running=3, waiting=2, kv_use=0.5), "gone": EngineLoad()})
    table, row = served.router.table, served.router.replicas["http://h:2"].row
    assert (table.running[row], table.queued[row], table.kv_use[row]) == (3, 2, 0.5)


def test_replicas_of_models_that_the_fleet_does_not_have_are_left_out() -> None:
    found, served = directory()
    found.update([replica_info("http://h:1", fake_pool(), model="other")])
    assert served.router.replicas == {}


def test_mlperf_mode_never_sheds() -> None:
    usual, measured = Directory(fake_fleet()), Directory(fake_fleet(mlperf=True, max_queue=0, queue_timeout_s=1))
    assert (usual.models[0].admission.max_queue, usual.models[0].admission.queue_timeout_s) == (1000, 120)
    assert (measured.models[0].admission.max_queue, measured.models[0].admission.queue_timeout_s) == (math.inf, None)


def test_requests_wait_for_a_start_as_long_as_the_slowest_pools_may_take() -> None:
    fast, slow = (fake_pool(name).model_copy(update={"readiness_timeout_s": s}) for name, s in (("a", 60), ("b", 900)))
    admission = Directory(fake_fleet(fast, slow)).models[0].admission
    assert admission.start.deadline(100.0) == 1000.0
