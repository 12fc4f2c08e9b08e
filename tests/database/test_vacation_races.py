"""Vacations beside other work: none is missed by what is just being written, none grants twice, and no sweep waits for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from returnclock import restamp as restamping
from returnclock import stamp_batch
from returnclock.errors import Refused
from returnclock.ledger import Hand
from returnclock.ops import turn, vacation
from returnclock.ops import undo as undoing
from returnclock.ops.vacation import announce, take_back
from returnclock.restamp import Plan, restamp
from returnclock.tables.interventions import vacations
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market
from tests.database.two_at_once import at_once

DUE = MONDAY + 5 * DAY
MINUTE = timedelta(minutes=1)


@pytest.fixture
def market(server_market: Market) -> Market:
    return server_market


@pytest.fixture
def seller(market: Market) -> int:
    return market.insert("sellers", name="Ana", email="ana@shop.example", time_zone="UTC")


def of(market: Market, seller: int, **values: Any) -> int:
    return market.dispute(order_id=market.order(seller_id=seller), **values)


def then(monkeypatch: pytest.MonkeyPatch, room: Any, name: str, act: Callable[[], Any], *, kind: str | None = None) -> None:
    """Once, as soon as a function has read, something else is done and committed, before what was read is used."""
    read, done = getattr(room, name), []

    def read_then(*args: Any, **how: Any) -> Any:
        found = read(*args, **how)
        if not done and (kind is None or args[1].name == kind):
            done.append(act())
        return found

    monkeypatch.setattr(room, name, read_then)


@pytest.mark.parametrize("next_tick", [0 * MINUTE, 5 * MINUTE, DAY])  # a day: no worker ran meanwhile
def test_what_was_being_stamped_when_a_vacation_was_announced_is_moved_by_the_next_tick(
    market: Market, operator: Operator, seller: int, monkeypatch: pytest.MonkeyPatch, next_tick: timedelta
) -> None:
    market.clock.at = MONDAY + HOUR
    dispute = of(market, seller)
    coming = lambda: announce(operator.desk(), seller, date(2026, 3, 5), date(2026, 3, 6))  # noqa: E731
    then(monkeypatch, stamp_batch, "read_facts", coming, kind="seller_response")
    market.run("stamp")
    assert market.deadline("seller_response", dispute).promised_at == DUE
    market.run("escalate-disputes", at=MONDAY + HOUR + next_tick)

    assert market.deadline("seller_response", dispute).promised_at == DUE + 2 * DAY
    assert market.events("seller_response", dispute) == ["deadline:stamped", "deadline:postponed"]


def test_what_was_being_undone_when_a_vacation_was_announced_is_moved(
    market: Market, operator: Operator, seller: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute = of(market, seller)
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    day = DUE.date()
    then(monkeypatch, undoing, "away_of", lambda: announce(operator.desk(), seller, day + DAY, day + 3 * DAY))
    operator.undo("disputes", dispute)
    market.run("escalate-disputes", at=DUE + MINUTE)

    assert market.deadline("seller_response", dispute).promised_at == DUE + 5 * DAY


def test_what_was_judged_by_restamp_before_a_vacation_was_announced_is_moved(
    market: Market, operator: Operator, seller: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute = of(market, seller)
    market.run("stamp", at=MONDAY)
    market.configure('[policy.seller_response]\nperiod = "9 days"\n')
    write = restamping._write

    def late(*args: Any) -> Any:
        monkeypatch.setattr(restamping, "_write", write)
        announce(operator.desk(), seller, date(2026, 3, 8), date(2026, 3, 9))
        return write(*args)

    monkeypatch.setattr(restamping, "_write", late)
    book = market.wiring.rulebook
    restamp(Plan(market.engine, market.clock, book, Hand("maria"), "a new rule", "fire"), book.active())
    market.run("escalate-disputes", at=MONDAY + MINUTE)

    assert market.deadline("seller_response", dispute).promised_at == MONDAY + 11 * DAY


def test_a_vacation_settles_once_and_is_then_looked_at_no_more(
    market: Market, operator: Operator, seller: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[datetime] = []
    look = vacation._apply_of
    monkeypatch.setattr(vacation, "_apply_of", lambda desk, one: (looked.append(market.clock.at), look(desk, one))[1])
    of(market, seller)
    market.run("stamp", at=MONDAY)
    announce(operator.desk(), seller, date(2026, 3, 4), date(2026, 3, 5))
    for minutes in (5, 9, 10, 11, 12):
        market.run("escalate-disputes", at=MONDAY + minutes * MINUTE)

    assert looked == [MONDAY, *(MONDAY + minutes * MINUTE for minutes in (5, 9, 10))]
    assert [(row.applied_at, row.settled_at) for row in market.rows(vacations)] == [(MONDAY, MONDAY + 10 * MINUTE)]


def test_no_later_look_asks_for_what_nothing_has_happened_to(market: Market, operator: Operator, seller: int) -> None:
    dispute = of(market, seller)
    market.run("stamp", at=MONDAY)
    market.clock.at = MONDAY + HOUR
    announce(operator.desk(), seller, date(2026, 3, 4), date(2026, 3, 5))
    before = market.deadline("seller_response", dispute)
    assert before.promised_at == DUE + 2 * DAY
    with market.transaction() as front_end:
        front_end.execute(text(f"UPDATE disputes SET reason = 'x' WHERE id = {dispute}"))
        market.run("escalate-disputes", at=MONDAY + HOUR + 10 * MINUTE)

    assert [row.settled_at for row in market.rows(vacations)] == [market.clock.at]
    assert market.deadline("seller_response", dispute) == before


def test_a_stage_that_runs_again_skips_a_vacation_that_was_announced_while_it_rested(
    market: Market, operator: Operator, seller: int
) -> None:
    order = market.order(seller_id=seller)
    control, refund = (market.refund(order_id=order) for _ in range(2))
    market.run("stamp", at=MONDAY)
    market.update("refunds", refund, status="processing", inspected_at=MONDAY + HOUR)
    market.run("stamp", at=MONDAY + HOUR)
    announce(operator.desk(), seller, date(2026, 3, 4), date(2026, 3, 8))
    market.run("flag-late-refunds", at=MONDAY + 12 * HOUR)
    market.update("refunds", refund, status="inspecting", inspected_at=None)
    market.run("stamp", at=MONDAY + 13 * HOUR)

    kept, other = (market.deadline("refund_inspection", one) for one in (refund, control))
    assert (kept.promised_at, kept.schedule["last_day"]) == (other.promised_at, other.schedule["last_day"])
    market.run("flag-late-refunds", at=MONDAY + 14 * HOUR)
    assert market.deadline("refund_inspection", refund).promised_at == other.promised_at
    before, again = (market.deadline("refund_inspection", refund) for _ in range(2))
    assert before == again


def test_a_stage_that_runs_again_keeps_the_days_of_a_vacation_that_have_counted(
    market: Market, operator: Operator, seller: int
) -> None:
    refund = market.refund(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    promised = market.deadline("refund_inspection", refund).promised_at
    market.update("refunds", refund, status="processing", inspected_at=MONDAY + HOUR)
    market.run("stamp", at=MONDAY + HOUR)
    announce(operator.desk(), seller, date(2026, 3, 3), date(2026, 3, 3))
    market.update("refunds", refund, status="inspecting", inspected_at=None)
    market.run("stamp", at=MONDAY + DAY + HOUR)  # the 3rd, on which it rested

    assert market.deadline("refund_inspection", refund).promised_at == promised


# -- a front end that keeps a vacation open


def _insert(market: Market, connection: Connection, seller: int) -> None:
    day = date(2026, 3, 20)
    market.insert_with(connection, "clock_vacations", {"seller_id": seller, "first_day": day, "last_day": day})


def _change(_market: Market, connection: Connection, _seller: int) -> None:
    connection.execute(text("UPDATE clock_vacations SET last_day = '2026-03-22'"))


@pytest.mark.parametrize("holds", [_insert, _change])
def test_a_front_end_that_keeps_a_vacation_open_delays_no_sweep(
    market: Market, seller: int, holds: Callable[[Market, Connection, int], None]
) -> None:
    other = market.dispute()
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE
    market.insert("clock_vacations", seller_id=seller, first_day=date(2026, 3, 20), last_day=date(2026, 3, 21))
    sweep = threading.Thread(target=lambda: market.run("escalate-disputes"))
    with market.transaction() as connection:
        holds(market, connection, market.insert("sellers", name="Ana", email="b@shop.example"))
        sweep.start()
        sweep.join(5)
        found = sweep.is_alive(), market.row("disputes", other).status
    sweep.join(60)
    assert found == (False, "escalated")


def test_a_vacation_that_cannot_be_applied_keeps_no_sweep_and_no_other_seller_waiting_and_is_told(
    market: Market, seller: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = market.insert("sellers", name="Ada", email="ada@shop.example", time_zone="UTC")
    due, late = market.dispute(), of(market, another, opened_at=MONDAY + 4 * DAY)
    market.run("stamp", at=MONDAY + 4 * DAY)
    for one in (seller, another):
        market.insert("clock_vacations", seller_id=one, first_day="2026-03-08", last_day="2026-03-08", announced_at=MONDAY)
    look = vacation._apply_of

    def breaking(desk: Any, one: int) -> int:
        if one == seller:
            raise KeyError("last_day")
        return look(desk, one)

    monkeypatch.setattr(vacation, "_apply_of", breaking)
    with pytest.raises(KeyError):
        market.run("escalate-disputes", at=DUE)

    assert market.row("disputes", due).status == "escalated"
    assert market.deadline("seller_response", late).promised_at == MONDAY + 10 * DAY


# -- two at once


def test_two_announcements_at_once_grant_no_more_than_the_cap(market: Market) -> None:
    market.configure('[ops]\nvacation_days_a_year = 3\nwarning_lead = "none"\n')
    desk = Operator(market).desk()
    for number in range(10):
        seller = market.insert("sellers", name="Ana", email=f"ana{number}@shop.example", time_zone="UTC")
        with at_once(
            lambda of=seller: announce(desk, of, date(2026, 3, 4), date(2026, 3, 6)),  # type: ignore[misc]
            lambda of=seller: announce(desk, of, date(2026, 3, 11), date(2026, 3, 13)),  # type: ignore[misc]
        ) as (said, faults):
            assert (sum(one["granted"] for one in said if isinstance(one, dict)), faults) == (3, [])


def test_two_vacations_of_a_seller_are_taken_back_at_once(market: Market, seller: int) -> None:
    desk, day = Operator(market).desk(), date(2026, 3, 4)
    for _ in range(10):
        one, other = (announce(desk, seller, day + n * DAY, day + n * DAY)["vacation"] for n in range(2))
        with at_once(lambda n=one: take_back(desk, n), lambda n=other: take_back(desk, n)) as (said, faults):  # type: ignore[misc]
            assert ([type(answer) for answer in said], faults) == ([dict, dict], [])
    assert all(row.removed_at for row in market.rows(vacations))


def test_a_vacation_that_a_front_end_keeps_open_is_not_taken_back_meanwhile(
    market: Market, seller: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LOOKS", 3)
    desk = Operator(market).desk()
    number = announce(desk, seller, date(2026, 3, 4), date(2026, 3, 4))["vacation"]
    with market.transaction() as front_end:
        _change(market, front_end, seller)
        with pytest.raises(Refused, match="just now"):
            take_back(desk, number)
    assert take_back(desk, number)["vacation"] == number


def test_what_is_announced_stamped_and_extended_at_once_comes_out_as_one_after_the_other(market: Market) -> None:
    operator = Operator(market)
    desk = operator.desk()
    for number in range(8):
        seller = market.insert("sellers", name="Ana", email=f"ana{number}@shop.example", time_zone="UTC")
        first = of(market, seller)
        market.run("stamp", at=MONDAY)
        late = of(market, seller)
        with at_once(
            lambda of=seller: announce(desk, of, date(2026, 3, 4), date(2026, 3, 5)),  # type: ignore[misc]
            lambda of=seller: announce(desk, of, date(2026, 3, 5), date(2026, 3, 6)),  # type: ignore[misc]
            lambda of=first: operator.extend("disputes", of, add="2 days"),  # type: ignore[misc]
            lambda: market.run("stamp"),
            lambda: market.run("escalate-disputes"),
        ) as (_, faults):
            assert faults == []
        market.run("stamp")
        market.run("escalate-disputes")
        moved = [market.deadline("seller_response", one).promised_at - DUE for one in (first, late)]
        assert moved == [5 * DAY, 3 * DAY]
