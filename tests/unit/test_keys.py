"""Keys that are kept as text become those of the table again, whatever a front end wrote in their place."""

from __future__ import annotations

import pytest

from returnclock.tables.keys import keys_of
from returnclock.tables.market import disputes


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (["12", "3"], [3, 12]),
        (["12", "-3"], [-3, 12]),
        (["12", ""], [12]),
        (["12", "1_0", "x", "3.5", "²", "--"], [12]),
        ([], []),
    ],
)
def test_only_what_can_be_a_key_is_looked_for(texts: list[str], keys: list[int]) -> None:
    assert keys_of(iter(texts), disputes.c.id) == keys
