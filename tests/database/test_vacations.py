"""A seller's vacation: its days do not count for the seller, from the announcement on, and only so many a year."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import event

from returnclock.errors import BadUsage, NotFound, Refused
from returnclock.ops.vacation import announce, take_back
from returnclock.tables.clock import events
from returnclock.tables.interventions import vacations
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY


@pytest.fixture
def seller(market: Market) -> int:
    return market.insert("sellers", name="Ana", email="ana@shop.example", time_zone="Europe/Lisbon")


def away(market: Market, seller: int, first: date, last: date, *, dry_run: bool = False) -> dict[str, object]:
    return announce(Operator(market).desk(dry_run), seller, first, last)


def test_what_is_stamped_under_a_vacation_skips_its_days_and_says_so(market: Market, seller: int) -> None:
    away(market, seller, date(2026, 3, 4), date(2026, 3, 6))
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    other = market.dispute()
    market.run("stamp", at=MONDAY + HOUR)

    assert market.deadline("seller_response", dispute).due_at == DUE + 3 * DAY
    assert market.deadline("seller_response", other).due_at == DUE
    (story,) = market.explain("disputes", dispute, at=MONDAY).stories
    assert "Wed 4 Mar to Fri 6 Mar 2026 skipped: vacation of the seller." in story.steps


def test_the_buyer_s_time_and_elapsed_time_run_on(market: Market, seller: int) -> None:
    market.configure('[policy.seller_response]\nperiod = "120 hours"\n')
    away(market, seller, date(2026, 3, 4), date(2026, 3, 6))
    order = market.order(seller_id=seller, delivered_at=MONDAY)
    delivered = market.order(seller_id=seller, delivered_at=MONDAY)
    dispute = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY + HOUR)

    assert market.deadline("seller_response", dispute).due_at == DUE
    assert market.deadline("return_window", delivered).due_at == MONDAY.replace(day=18, hour=0)


def test_business_days_of_the_seller_skip_it_too(market: Market, seller: int) -> None:
    away(market, seller, date(2026, 3, 4), date(2026, 3, 8))
    refund = market.refund(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY + HOUR)

    assert market.deadline("refund_inspection", refund).due_at == MONDAY.replace(day=11, hour=0)  # the 3rd, the 9th, the 10th


def test_what_runs_already_is_moved_by_the_days_to_come_only(market: Market, seller: int) -> None:
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    market.clock.at = MONDAY + 2 * DAY  # Wednesday the 4th, which is under way
    assert away(market, seller, date(2026, 3, 3), date(2026, 3, 5))["moved"] == 1

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.due_at, deadline.remind_at) == (DUE + DAY, DUE - DAY)
    assert market.events("seller_response", dispute) == ["deadline:stamped", "deadline:postponed"]


def test_a_rehearsal_says_how_many_deadlines_it_would_move_and_moves_none(market: Market, seller: int) -> None:
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    days = date(2026, 3, 4), date(2026, 3, 5)
    assert away(market, seller, *days, dry_run=True)["moved"] == 1
    assert market.deadline("seller_response", dispute).due_at == DUE
    assert market.count(vacations) == 0
    assert away(market, seller, *days)["moved"] == 1


def test_one_that_a_front_end_writes_is_applied_by_the_next_tick(market: Market, seller: int) -> None:
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    market.insert("clock_vacations", seller_id=seller, first_day="2026-03-04", last_day="2026-03-05", announced_at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + HOUR)

    assert market.deadline("seller_response", dispute).due_at == DUE + 2 * DAY
    assert [row.applied_at for row in market.rows(vacations)] == [MONDAY + HOUR]
    market.run("escalate-disputes", at=MONDAY + 2 * HOUR)
    assert market.deadline("seller_response", dispute).due_at == DUE + 2 * DAY


def test_no_more_days_count_in_a_year_than_the_cap(market: Market, seller: int) -> None:
    market.configure('[ops]\nwarning_lead = "none"\nvacation_days_a_year = 3\n')
    assert away(market, seller, date(2026, 3, 3), date(2026, 3, 4))["granted"] == 2
    assert away(market, seller, date(2026, 3, 5), date(2026, 3, 9))["granted"] == 1
    assert away(market, seller, date(2026, 12, 31), date(2027, 1, 2))["granted"] == 2
    with pytest.raises(Refused, match="3 days of the year are granted"):
        away(market, seller, date(2026, 6, 1), date(2026, 6, 2))
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY + HOUR)

    assert market.deadline("seller_response", dispute).due_at == DUE + 3 * DAY


def test_a_vacation_is_not_retroactive_and_a_rehearsal_leaves_no_trace(market: Market, seller: int) -> None:
    with pytest.raises(Refused, match="all are past"):
        away(market, seller, date(2026, 2, 1), date(2026, 3, 2))
    assert away(market, seller, date(2026, 3, 1), date(2026, 3, 3), dry_run=True)["granted"] == 1
    with pytest.raises(BadUsage):
        away(market, seller, date(2026, 3, 3), date(2026, 3, 1))
    with pytest.raises(NotFound):
        away(market, 987, date(2026, 3, 3), date(2026, 3, 4))
    assert (market.count(vacations), market.count(events)) == (0, 0)


def test_one_that_is_taken_back_counts_no_later_day_and_takes_no_date_away(market: Market, seller: int) -> None:
    order = market.order(seller_id=seller)
    first = market.dispute(order_id=order)
    number = away(market, seller, date(2026, 3, 4), date(2026, 3, 6))["vacation"]
    market.run("stamp", at=MONDAY)
    market.clock.at = MONDAY + 2 * DAY
    take_back(Operator(market).desk(), number)  # type: ignore[arg-type]
    second = market.dispute(order_id=order)
    market.run("stamp")

    assert market.deadline("seller_response", first).due_at == DUE + 3 * DAY
    assert market.deadline("seller_response", second).due_at == DUE + DAY
    with pytest.raises(Refused):
        take_back(Operator(market).desk(), number)  # type: ignore[arg-type]


def kept_out_of(market: Market, seller: int, first: date, last: date, *, period: str = "5 days") -> tuple[Operator, int]:
    """A stamped dispute of a seller who then announces a vacation that begins after the dispute's last day."""
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    market.clock.at = MONDAY + HOUR
    assert away(market, seller, first, last)["moved"] == 0
    return Operator(market), dispute


def test_what_an_extension_moves_into_a_vacation_skips_it(market: Market, seller: int) -> None:
    operator, dispute = kept_out_of(market, seller, date(2026, 3, 8), date(2026, 3, 16))
    operator.extend("disputes", dispute, add="2 days")

    assert market.deadline("seller_response", dispute).promised_at == DUE + 11 * DAY


def test_what_a_hold_moves_into_a_vacation_skips_it(market: Market, seller: int) -> None:
    operator, dispute = kept_out_of(market, seller, date(2026, 3, 10), date(2026, 3, 16))
    operator.hold("disputes", dispute, at=DUE - DAY)  # a day is left
    operator.resume("disputes", dispute, at=MONDAY + 7 * DAY)  # it would be the 10th

    deadline = market.deadline("seller_response", dispute)
    assert deadline.promised_at == MONDAY + 15 * DAY
    operator.hold("disputes", dispute, at=MONDAY + 7 * DAY + 2 * HOUR)
    operator.resume("disputes", dispute, at=MONDAY + 15 * DAY - 2 * HOUR)
    assert market.deadline("seller_response", dispute).promised_at == MONDAY + 16 * DAY  # what was skipped is not left again


def test_what_runs_again_on_a_day_of_vacation_loses_nothing_of_it(market: Market, seller: int) -> None:
    operator, dispute = kept_out_of(market, seller, date(2026, 3, 8), date(2026, 3, 16))
    operator.hold("disputes", dispute, at=DUE - 12 * HOUR)
    operator.resume("disputes", dispute, at=MONDAY + 8 * DAY - 2 * HOUR)

    assert market.deadline("seller_response", dispute).promised_at >= MONDAY + 15 * DAY


def test_what_was_undone_skips_the_vacation_that_follows(market: Market, seller: int) -> None:
    operator, dispute = kept_out_of(market, seller, date(2026, 3, 9), date(2026, 3, 20))
    market.run("escalate-disputes", at=DUE)
    operator.undo("disputes", dispute, at=DUE + HOUR)

    assert market.deadline("seller_response", dispute).promised_at == MONDAY + 19 * DAY + HOUR


def test_an_extension_does_not_swallow_a_vacation_that_is_still_to_be_applied(market: Market, seller: int) -> None:
    dispute = market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    market.insert("clock_vacations", seller_id=seller, first_day="2026-03-04", last_day="2026-03-05", announced_at=MONDAY)
    Operator(market).extend("disputes", dispute, add="1 day")
    market.run("escalate-disputes", at=MONDAY + HOUR)

    assert market.deadline("seller_response", dispute).promised_at == DUE + 3 * DAY


def test_what_is_taken_back_frees_no_day_that_has_counted_but_those_to_come(market: Market, seller: int) -> None:
    market.configure('[ops]\nwarning_lead = "none"\nvacation_days_a_year = 3\n')
    order = market.order(seller_id=seller)
    market.clock.at = MONDAY - HOUR
    first = away(market, seller, date(2026, 3, 20), date(2026, 3, 22))["vacation"]
    days = {"first_day": "2026-03-04", "last_day": "2026-03-07"}
    market.insert("clock_vacations", id=801, seller_id=seller, announced_at=MONDAY, **days)
    early = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY)
    assert market.deadline("seller_response", early).promised_at == DUE
    market.clock.at = MONDAY + 2 * DAY  # Wednesday the 4th: the 4th has counted, the 5th is the first that need not
    assert take_back(Operator(market).desk(), first)["moved"] == 1  # type: ignore[arg-type]
    late = market.dispute(order_id=order)
    market.run("stamp")

    promised = {market.deadline("seller_response", one).promised_at for one in (early, late)}
    assert promised == {DUE + 3 * DAY}


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"])
def test_who_takes_a_vacation_back_by_sql_frees_its_days_for_the_others(market: Market, seller: int, form: str) -> None:
    market.configure('[ops]\nwarning_lead = "none"\nvacation_days_a_year = 3\n')
    early, late = (market.dispute(order_id=market.order(seller_id=seller)) for _ in range(2))
    market.run("stamp", at=MONDAY)
    for number, (first, last) in enumerate([("2026-03-20", "2026-03-22"), ("2026-03-05", "2026-03-06")], 801):
        day = {"first_day": first, "last_day": last}
        market.insert("clock_vacations", id=number, seller_id=seller, announced_at=MONDAY + (number - 801) * SECOND, **day)
    market.run("escalate-disputes", at=MONDAY + HOUR)
    assert market.deadline("seller_response", early).promised_at == DUE
    removed_at = MONDAY + DAY
    market.update("clock_vacations", 801, removed_at=removed_at.strftime(form) if market.dialect == "sqlite" else removed_at)
    market.run("escalate-disputes", at=removed_at + HOUR)

    assert {market.deadline("seller_response", one).promised_at for one in (early, late)} == {DUE + 2 * DAY}
    market.run("escalate-disputes", at=removed_at + 2 * HOUR)
    assert all(row.settled_at for row in market.rows(vacations))


def test_a_tick_finds_no_vacation_that_waits_without_reading_all_of_them(sqlite_market: Market) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "clock_vacations" in statement:
            asked.append((statement, parameters))

    event.listen(sqlite_market.engine, "before_cursor_execute", listen)
    try:
        sqlite_market.run("escalate-disputes")
    finally:
        event.remove(sqlite_market.engine, "before_cursor_execute", listen)

    ((statement, parameters),) = asked
    with sqlite_market.engine.connect() as connection:
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    steps = [step for step in plan if "clock_vacations" in step]
    assert [("ix_clock_vacations_waiting" in step, "ix_clock_vacations_removed" in step) for step in steps] == [
        (True, False),
        (False, True),
    ]
