from __future__ import annotations

import json

import pytest

from loadtest.endpoint import TargetError
from loadtest.replay.contents import SAMPLE, Vocabulary
from loadtest.replay.tokenizer import ask_vocabulary
from tests.support.pages import Pages, Serve, serving_pages


def test_the_models_own_tokens_of_the_sample() -> None:
    asked: list[tuple[str, str | None, bytes]] = []
    tokens = [5, 6, 5] * len(SAMPLE)
    with serving_pages(asked) as serve:
        url = serve({"/tokenize": {"tokens": tokens}})
        assert ask_vocabulary(url, "m", {"Authorization": "Bearer k"}) == Vocabulary((5, 6), 3.0)
    ((_, key, body),) = asked
    assert key == "Bearer k"
    assert json.loads(body) == {"model": "m", "prompt": SAMPLE, "add_special_tokens": False}


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_endpoint_without_the_route_tells_nothing(serve: Serve, status: int) -> None:
    assert ask_vocabulary(serve({"/tokenize": status}), "m", {}) == Vocabulary()


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ({"/tokenize": 503}, "answers 503"),
        ({"/tokenize": b"<html>"}, "gives no tokens for m"),
        ({"/tokenize": {"count": 3}}, "gives no tokens for m"),
    ],
)
def test_an_endpoint_that_does_not_work_is_said(serve: Serve, pages: Pages, why: str) -> None:
    with pytest.raises(TargetError, match=why):
        ask_vocabulary(serve(pages), "m", {})
