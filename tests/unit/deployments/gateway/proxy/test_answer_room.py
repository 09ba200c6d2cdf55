from __future__ import annotations

import pytest

from deployments.gateway.errors.error_object import ComputedError
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.proxy.answer_room import UNCOUNTED_BYTES, AnswerRoom

MIB = 2**20


def test_an_answer_has_room_up_to_its_limit_and_gives_all_of_it_back() -> None:
    budget = ByteBudget(8 * MIB)
    room = AnswerRoom(2 * MIB, ByteClaim(budget))
    for _ in range(2):
        room.take(MIB)
        room.take(MIB)
        assert budget.in_flight == 2 * MIB - UNCOUNTED_BYTES
        with pytest.raises(ComputedError) as raised:
            room.take(1)
        assert (raised.value.status, raised.value.code) == (502, "answer_too_large")
        room.give_back()
        assert budget.in_flight == 0


def test_short_answers_and_parts_of_events_go_on_where_all_bytes_in_flight_are_taken() -> None:
    budget = ByteBudget(MIB, is_shared=True)
    ByteClaim(budget, "other").promise(MIB // 2)
    room = AnswerRoom(MIB, ByteClaim(budget, "other"))
    room.take(UNCOUNTED_BYTES)
    with pytest.raises(ComputedError) as raised:
        room.take(1)
    assert (raised.value.status, raised.value.retry_after_s) == (503, 1)
