from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.preparation import PREPARER


@pytest.fixture(autouse=True, scope="package")
def _close_shared_preparer() -> Iterator[None]:
    yield
    asyncio.run(PREPARER.close())
