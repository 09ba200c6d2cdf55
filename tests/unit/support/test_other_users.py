from __future__ import annotations

import pytest

from tests.support.other_users import NOBODY, exists


@pytest.mark.parametrize(
    ("uid_map", "found"),
    [
        ("         0          0 4294967295\n", True),
        ("         0       1000          1\n", False),
        ("0 1000 1\n1 100000 65536\n", True),
        ("1 0 65533\n", False),
        ("", False),
    ],
)
def test_a_user_exists_where_its_number_is_mapped(uid_map: str, found: bool) -> None:
    assert exists(NOBODY, uid_map) is found
