from __future__ import annotations

import json

from deployments.announcement import Announcement
from tests.support.processes import announcement, fake_pool


def test_an_announcement_survives_the_wire() -> None:
    told = announcement("http://h:1", fake_pool(), aliases=("a", "b"), revision="r", kv_blocks=None)
    assert Announcement.from_dict(json.loads(json.dumps(told.as_dict()))) == told
