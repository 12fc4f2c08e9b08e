"""What a vacation grants hangs on when it was announced, and never on when a worker came to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from returnclock.ops.vacation import announce
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
ANNOUNCED = MONDAY + HOUR
WEDNESDAY, FRIDAY = date(2026, 3, 4), date(2026, 3, 6)


def seller_of(market: Market) -> int:
    return market.insert("sellers", name="Ana", email="ana@shop.example", time_zone="Europe/Lisbon")


def write(market: Market, seller: int, first: date = WEDNESDAY, last: date = FRIDAY, **values: Any) -> int:
    """A front end's own insert; with an id that the database's own sequence does not reach."""
    days = {"id": 900_000 + seller, "first_day": first, "last_day": last}
    return market.insert("clock_vacations", seller_id=seller, **days, **{"announced_at": ANNOUNCED, **values})


def promised(market: Market, dispute: int) -> timedelta:
    """By how much its date was moved."""
    moved: timedelta = market.deadline("seller_response", dispute).promised_at - DUE
    return moved


@pytest.fixture
def seller(market: Market) -> int:
    return seller_of(market)


@pytest.fixture
def dispute(market: Market, seller: int) -> int:
    opened = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    return opened


# -- after an outage


@pytest.mark.parametrize("tick", [ANNOUNCED, MONDAY + 14 * HOUR, MONDAY + 3 * DAY, DUE + SECOND, DUE + 2 * DAY])
def test_it_grants_all_its_days_whenever_a_worker_comes_to_it(market: Market, seller: int, dispute: int, tick: Any) -> None:
    write(market, seller)
    market.run("escalate-disputes", at=tick)
    stamped_later = market.dispute(order_id=market.order(seller_id=seller))  # it started at the same time
    market.run("stamp")

    assert promised(market, dispute) == promised(market, stamped_later) == 3 * DAY
    assert market.row("disputes", dispute).status == "awaiting_seller"


def test_one_that_is_announced_a_second_before_midnight_grants_the_day_that_begins_then(
    market: Market, seller: int, dispute: int
) -> None:
    midnight = MONDAY.replace(hour=0) + DAY
    market.run("escalate-disputes", at=midnight - 2 * SECOND)
    write(market, seller, date(2026, 3, 3), date(2026, 3, 3), announced_at=midnight - SECOND)
    market.run("escalate-disputes", at=midnight)

    assert promised(market, dispute) == DAY


def test_what_was_done_before_it_was_announced_stays_done(market: Market, seller: int, dispute: int) -> None:
    market.run("escalate-disputes", at=DUE)
    write(market, seller, announced_at=DUE + SECOND)
    market.run("escalate-disputes", at=DUE + DAY)

    assert market.states("seller_response", dispute) == ["fired"]


def test_it_moves_nothing_whose_time_had_run_out_when_it_was_announced(market: Market, seller: int, dispute: int) -> None:
    write(market, seller, DUE.date(), DUE.date() + 6 * DAY, announced_at=DUE + SECOND)
    market.run("escalate-disputes", at=DUE + HOUR)

    assert promised(market, dispute) == timedelta()
    assert market.states("seller_response", dispute) == ["fired"]


def test_one_that_was_taken_back_before_a_worker_came_grants_its_days_until_then(
    market: Market, seller: int, dispute: int
) -> None:
    write(market, seller, removed_at=MONDAY + 3 * DAY)  # on Thursday
    market.run("escalate-disputes", at=DUE + HOUR)

    assert promised(market, dispute) == 2 * DAY


def test_late_days_are_no_more_than_the_cap(market: Market, seller: int, dispute: int) -> None:
    market.configure('[ops]\nwarning_lead = "none"\nvacation_days_a_year = 2\n')
    write(market, seller)
    market.run("escalate-disputes", at=DUE + HOUR)

    assert promised(market, dispute) == 2 * DAY


def test_a_raised_cap_moves_nothing_that_runs_for_days_that_have_counted(market: Market, seller: int, dispute: int) -> None:
    cap = '[ops]\nwarning_lead = "none"\nvacation_days_a_year = '
    market.configure(f"{cap}1\n")
    write(market, seller)
    market.run("escalate-disputes", at=ANNOUNCED)
    market.run("escalate-disputes", at=ANNOUNCED + HOUR)  # it is settled
    market.configure(f"{cap}20\n")
    market.clock.at = DUE
    announce(Operator(market).desk(), seller, date(2026, 3, 20), date(2026, 3, 21))

    assert promised(market, dispute) == DAY


@pytest.mark.parametrize("period", ["48 hours", "2 days"])
def test_what_runs_and_what_is_stamped_under_a_vacation_get_one_date(market: Market, seller: int, period: str) -> None:
    market.configure(f'[policy.seller_response]\nperiod = "{period}"\nends = "end_of_day"\n')
    order = market.order(seller_id=seller)
    running = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY)
    market.clock.at = ANNOUNCED
    announce(Operator(market).desk(), seller, WEDNESDAY, FRIDAY)
    later = market.dispute(order_id=order)
    market.run("stamp")

    assert promised(market, running) == promised(market, later)


# -- what happened in between


def held_and_resumed(operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=MONDAY + DAY)
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY)


def held_on_a_day_of_it(operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=MONDAY + 2 * DAY - HOUR)
    operator.resume("disputes", dispute, at=MONDAY + 3 * DAY)


def held_once_its_time_would_have_run_out(operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=DUE + HOUR)
    operator.resume("disputes", dispute, at=DUE + 6 * DAY)


def held_still(operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=MONDAY + 3 * DAY)


def extended(operator: Operator, dispute: int) -> None:
    operator.extend("disputes", dispute, add="2 days", at=MONDAY + 3 * DAY)


@pytest.mark.parametrize(
    "happens", [held_and_resumed, held_on_a_day_of_it, held_once_its_time_would_have_run_out, held_still, extended]
)
def test_what_an_operator_does_meanwhile_comes_to_the_same_as_after_it_was_applied(
    market: Market, seller: int, dispute: int, happens: Callable[[Operator, int], None]
) -> None:
    other = seller_of(market)
    late = market.dispute(order_id=market.order(seller_id=other))
    market.run("stamp", at=MONDAY)
    write(market, seller)
    market.run("escalate-disputes", at=ANNOUNCED)
    write(market, other)  # and no worker comes
    operator = Operator(market)
    for one in (dispute, late):
        happens(operator, one)
    market.run("escalate-disputes", at=MONDAY + 12 * DAY)
    for one in (dispute, late):
        if market.states("seller_response", one) == ["held"]:
            operator.resume("disputes", one)

    assert promised(market, late) == promised(market, dispute)
    before = market.deadline("seller_response", late)
    market.run("escalate-disputes", at=MONDAY + 12 * DAY + HOUR)  # it is looked through once more
    assert market.deadline("seller_response", late).promised_at == before.promised_at


def test_a_stage_that_rests_before_a_worker_comes_keeps_what_was_announced_while_it_ran(market: Market, seller: int) -> None:
    order = market.order(seller_id=seller)
    control, refund = (market.refund(order_id=order) for _ in range(2))
    market.run("stamp", at=MONDAY)
    write(market, seller)
    market.update("refunds", refund, status="processing", inspected_at=MONDAY + 2 * HOUR)
    market.run("stamp", at=MONDAY + 2 * HOUR)
    market.run("flag-late-refunds", at=MONDAY + 3 * HOUR)
    market.update("refunds", refund, status="inspecting", inspected_at=None)
    market.run("stamp", at=MONDAY + 3 * DAY)

    kept, other = (market.deadline("refund_inspection", one) for one in (refund, control))
    assert (kept.promised_at, kept.schedule["last_day"]) == (other.promised_at, other.schedule["last_day"])
