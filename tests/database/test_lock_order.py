"""Two who lock or write the same rows of ours at once do it in one order: one waits for the other, and neither is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from returnclock import guards, problems, turnstile
from returnclock.database import writing
from returnclock.faults import Fault
from returnclock.ledger import Hand
from returnclock.rulebook import Guards
from returnclock.stamp_batch import Batch
from returnclock.tables import clock
from returnclock.tables.interventions import bursts
from tests.database.market import DAY, MONDAY, Market
from tests.database.two_at_once import at_once, meeting


@pytest.fixture
def market(server_market: Market) -> Market:
    return server_market


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


def test_two_stamps_that_first_use_the_same_policies_come_one_after_the_other(market: Market) -> None:
    market.configure(
        '[[policy.seller_response.override]]\nwhen = { country = "DE" }\nperiod = "3 business days"\n'
        '[[policy.seller_response.override]]\nwhen = { country = "FR" }\nperiod = "4 business days"\n'
    )
    countries = ("DE", "FR", "FR", "DE")
    a, b, c, d = (market.dispute(id=700 + n, order_id=market.order(country=one)) for n, one in enumerate(countries))
    market.sql("DELETE FROM clock_changes")

    def stamp(*disputes: int) -> int:
        with writing(market.engine) as connection:
            batch = Batch(connection, market.wiring.rulebook, Hand("clock"), MONDAY)
            batch.of_table("disputes", set(map(str, disputes)))
            return batch.tally.of("seller_response").changed

    both = (lambda: stamp(a, b)), (lambda: stamp(c, d))
    with meeting(market, "INTO clock_policies", nth=2), at_once(*both) as (said, faults):
        assert (said, faults) == ([2, 2], [])
    assert len(market.rows(clock.policies, kind="seller_response")) == 2


def test_two_who_see_the_same_problems_again_come_one_after_the_other(market: Market) -> None:
    faults = [Fault("sellers", str(number), "no_address", "no notice can reach it") for number in (1, 2)]

    def see(these: Sequence[Fault]) -> int:
        with writing(market.engine) as connection:
            return problems.record(connection, (), these, MONDAY + DAY)

    see(faults)
    with (
        meeting(market, "UPDATE clock_problems", nth=2),
        at_once(lambda: see(faults), lambda: see(faults[::-1])) as (said, told),
    ):
        assert (said, told) == ([0, 0], [])


def test_one_who_sees_a_problem_mended_and_one_who_sees_it_again_come_one_after_the_other(market: Market) -> None:
    faults = [Fault("sellers", str(number), "no_address", "no notice can reach it") for number in (1, 2)]

    def see(still: Fault, mended: Fault) -> int:
        with writing(market.engine) as connection:
            return problems.record(connection, [(mended.table_name, mended.subject_id)], [still], MONDAY + DAY)

    with writing(market.engine) as connection:
        problems.record(connection, (), faults, MONDAY)
    one, other = faults
    both = (lambda: see(one, other)), (lambda: see(other, one))
    with meeting(market, "UPDATE clock_problems", nth=2), at_once(*both) as (_, told):
        assert told == []
