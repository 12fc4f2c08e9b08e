"""Two who lock or write the same rows of ours at once do it in one order: one waits for the other, and neither is refused."""

from __future__ import annotations

import pytest

from returnclock import guards, turnstile
from returnclock.database import writing
from returnclock.rulebook import Guards
from returnclock.tables.interventions import bursts
from tests.database.market import MONDAY, Market
from tests.database.two_at_once import at_once, meeting


@pytest.fixture(params=["postgres_market", "mariadb_market"])  # SQLite has one writer
def market(request: pytest.FixtureRequest) -> Market:
    opened: Market = request.getfixturevalue(request.param)
    return opened


def test_two_sweeps_under_a_cap_come_one_after_the_other(market: Market) -> None:
    (kind,) = (one for one in market.wiring.rulebook.kinds if one.name == "seller_response")
    cap = Guards(burst_a_minute=5)

    def sweep() -> int:
        with writing(market.engine) as connection:
            left = guards.room(connection, kind, MONDAY, cap, 3)
            guards.spend(connection, kind, cap, left)
            return left

    sweep()
    with meeting(market, "FOR UPDATE", nth=1), at_once(sweep, sweep) as (said, faults):
        assert (sorted(said), faults) == ([0, 2], [])


def test_two_who_come_to_a_turnstile_for_the_first_time_find_one_row(market: Market) -> None:
    def come() -> str:
        with writing(market.engine) as connection:
            return str(turnstile.passed(connection, "gate", MONDAY).kind)

    with meeting(market, "INSERT", nth=1), at_once(come, come) as (said, faults):
        assert (said, faults) == (["gate", "gate"], [])
    assert [row.kind for row in market.rows(bursts)] == ["gate"]
