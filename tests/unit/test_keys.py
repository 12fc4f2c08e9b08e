"""Keys that are kept as text become those of the table again, whatever a front end wrote in their place."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Uuid

from returnclock.tables.keys import keys_of
from returnclock.tables.market import disputes


def test_a_uuid_is_looked_for_as_it_is_spelt() -> None:
    column = Column("id", Uuid(as_uuid=False))
    assert keys_of({"6F1C2D3E4B5A69788796A5B4C3D2E1F0"}, column) == ["6F1C2D3E4B5A69788796A5B4C3D2E1F0"]


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (["12", "3"], [3, 12]),
        (["12", "-3"], [-3, 12]),
        (["12", ""], [12]),
        (["12", "1_0", "x", "3.5", "²", "--", "--5"], [12]),
        (["12", "9223372036854775807", "9223372036854775808"], [12, 2**63 - 1]),
        (["12", "-9223372036854775809"], [12]),
        ([], []),
    ],
)
def test_only_what_can_be_a_key_is_looked_for(texts: list[str], keys: list[int]) -> None:
    assert keys_of(iter(texts), disputes.c.id) == keys
