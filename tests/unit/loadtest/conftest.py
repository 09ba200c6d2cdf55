from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.pages import Serve, serving_pages


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves JSON objects by path; every other path answers 404."""
    with serving_pages() as start:
        yield start
