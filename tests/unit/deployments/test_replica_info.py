from __future__ import annotations

import json

from deployments.replica_info import ReplicaInfo
from tests.support.processes import fake_pool, replica_info


def test_an_replica_info_survives_the_wire() -> None:
    told = replica_info("http://h:1", fake_pool(), aliases=("a", "b"), revision="r", kv_blocks=None)
    assert ReplicaInfo.from_dict(json.loads(json.dumps(told.as_dict()))) == told
