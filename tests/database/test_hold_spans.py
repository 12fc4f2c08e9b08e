"""From when to when a deadline stands still: neither a day less nor a day more than the holds that cover it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from returnclock.database import writing
from returnclock.errors import Refused
from returnclock.ledger import Hand
from returnclock.ops import hold as room
from returnclock.ops.resume import resume_row
from returnclock.restamp import Plan, restamp
from returnclock.tables.clock import outbox
from returnclock.tables.interventions import holds
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY


@pytest.fixture
def german(market: Market) -> int:
    """A dispute of Germany, whose seller has been silent since Monday; stamped."""
    dispute = market.dispute(order_id=market.order(country="DE"))
    market.run("stamp", at=MONDAY)
    return dispute


def ordered_and_killed(operator: Operator, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    """A hold whose command dies between its order and the first mark."""

    def die(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(room, "enact", die)
        with pytest.raises(KeyboardInterrupt):
            operator.hold(**how)


def test_what_a_hold_covers_and_has_not_marked_gets_its_days_when_its_row_is_resumed(
    market: Market, operator: Operator, german: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered_and_killed(operator, monkeypatch, at=MONDAY + DAY, country="DE")
    assert operator.resume("disputes", german, at=MONDAY + 7 * DAY)["resumed"] == 1

    assert market.deadline("seller_response", german).promised_at == DUE + 6 * DAY
    assert market.sweep_all() == 0
    assert market.events("seller_response", german) == ["deadline:stamped", "deadline:held", "deadline:resumed"]


def test_what_was_stamped_late_under_a_hold_is_not_escalated_as_soon_as_it_is_resumed(
    market: Market, operator: Operator
) -> None:
    operator.hold(at=MONDAY, country="DE")
    dispute = market.dispute(order_id=market.order(country="DE"), opened_at=MONDAY + HOUR)
    late = MONDAY + 6 * DAY
    market.run("escalate-disputes", at=late)
    market.run("stamp", at=late + 5 * SECOND)
    operator.resume("disputes", dispute, at=late + 30 * SECOND)

    assert market.sweep_all(at=late + 40 * SECOND) == 0
    assert market.deadline("seller_response", dispute).promised_at >= late + 5 * DAY


def test_nobody_is_reminded_under_a_hold_that_has_not_marked_anything(
    market: Market, operator: Operator, german: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert market.run("send-reminders", at=MONDAY + 3 * DAY)["queued"] == 1
    ordered_and_killed(operator, monkeypatch, country="DE")
    market.run("deliver-mail")

    assert market.mailer.taken == []
    assert [row.error for row in market.rows(outbox)] == ["a hold covers the deadline: its time stands still"]


def test_no_deadline_waits_for_a_hold_that_cannot_be_marked(
    market: Market, operator: Operator, german: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    french = market.dispute(order_id=market.order(country="FR"))
    market.run("stamp", at=MONDAY)
    ordered_and_killed(operator, monkeypatch, at=MONDAY + DAY, country="DE")

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    with monkeypatch.context() as broken:
        broken.setattr(room, "catch", fail)
        with pytest.raises(ZeroDivisionError):  # the run says it, after its work
            market.run("escalate-disputes", at=DUE + DAY)
        assert market.states("seller_response", french) == ["fired"]
        assert market.states("seller_response", german) == ["running"]  # not marked, and under the hold all the same
    market.run("escalate-disputes", at=DUE + DAY)
    assert market.states("seller_response", german) == ["held"]


def test_a_hold_that_had_ended_before_a_row_started_reaches_back_for_nothing_of_it(
    market: Market, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered_and_killed(operator, monkeypatch, at=MONDAY + HOUR, starts=MONDAY, ends=MONDAY + 2 * HOUR, country="DE")
    dispute = market.dispute(order_id=market.order(country="DE"), opened_at=MONDAY + 3 * HOUR)
    market.run("stamp", at=MONDAY + 3 * HOUR)
    operator.hold("disputes", dispute, at=MONDAY + DAY)  # looks at the other for the first time as well
    assert operator.resume("disputes", dispute, at=MONDAY + 2 * DAY)["resumed"] == 1

    # Without its start of a day's silence, and with the day that it was held: five days from its start and one.
    assert market.deadline("seller_response", dispute).promised_at == MONDAY + 3 * HOUR + 6 * DAY


def test_to_try_a_resume_marks_nothing(
    market: Market, operator: Operator, german: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered_and_killed(operator, monkeypatch, at=MONDAY + DAY, country="DE")
    market.clock.at = MONDAY + 2 * DAY
    tried = resume_row(operator.desk(dry_run=True), operator.scope("disputes", german))
    assert (tried["matched"], tried["resumed"]) == (1, 0)
    assert market.states("seller_response", german) == ["running"]


def test_two_holds_that_look_at_different_times_are_one_span_from_the_first_on(market: Market, operator: Operator) -> None:
    seller = market.insert("sellers", name="Ana", email="ana@shop.example", time_zone="UTC")
    operator.hold(at=MONDAY, country="DE")
    late = MONDAY + 3 * DAY
    market.run("escalate-disputes", at=late - 70 * SECOND)
    operator.hold(at=late - 69 * SECOND, seller=seller)
    market.run("escalate-disputes", at=late - 9.5 * SECOND)  # the first looks again, and the second does not
    dispute = market.dispute(order_id=market.order(country="DE", seller_id=seller), opened_at=MONDAY + HOUR)
    market.run("stamp", at=late)
    for seconds in range(0, 120, 3):
        market.run("escalate-disputes", at=late + seconds * SECOND)
    for row in market.rows(holds):
        operator.resume_hold(row.id, at=late + DAY)

    assert market.deadline("seller_response", dispute).promised_at >= late + 6 * DAY - HOUR


def test_days_that_were_given_back_when_the_row_stopped_are_not_given_again(market: Market, operator: Operator) -> None:
    order = market.order(delivered_at=MONDAY, country="DE")
    market.run("stamp", at=MONDAY)
    first = market.deadline("return_window", order).promised_at
    operator.hold(at=MONDAY + DAY, country="DE")
    market.update("orders", order, return_status="requested")
    market.run("stamp", at=MONDAY + 4 * DAY)
    market.update("orders", order, return_status="open")
    market.run("stamp", at=MONDAY + 4 * DAY + HOUR)
    operator.enact(at=MONDAY + 4 * DAY + 2 * HOUR)
    assert market.states("return_window", order) == ["held"]
    operator.resume("orders", order, at=MONDAY + 6 * DAY)

    assert market.deadline("return_window", order).promised_at - first == 5 * DAY


@pytest.mark.parametrize("ended_by", ["operator", "tick", "reconcile"])
def test_a_hold_that_ended_gives_no_more_than_it_lasted_whoever_lets_the_row_run_again(
    market: Market, operator: Operator, german: int, ended_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.hold(at=MONDAY + DAY, ends=MONDAY + 2 * DAY, country="DE")
    market.clock.at = MONDAY + 6 * DAY  # no worker for four days
    if ended_by == "operator":
        operator.resume("disputes", german)
    release_all = room._release_all

    def overtaken(*args: Any) -> int:
        monkeypatch.setattr(room, "_release_all", release_all)
        market.run("reconcile")
        return release_all(*args)

    if ended_by == "reconcile":
        monkeypatch.setattr(room, "_release_all", overtaken)
    operator.enact()

    assert market.deadline("seller_response", german).promised_at == DUE + DAY
    (row,) = market.rows(holds)
    assert (row.ends_at, row.ended_by, row.done_at) == (MONDAY + 2 * DAY, None, MONDAY + 6 * DAY)


def test_a_row_that_stops_under_a_hold_that_had_ended_gets_no_more_than_the_hold(market: Market, operator: Operator) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    first = market.deadline("return_window", order).promised_at
    operator.hold("orders", order, at=MONDAY + DAY, ends=MONDAY + 2 * DAY)
    market.update("orders", order, return_status="requested")
    market.run("stamp", at=MONDAY + 5 * DAY)  # the sweeps rested meanwhile
    market.update("orders", order, return_status="open")
    market.run("stamp", at=MONDAY + 5 * DAY + HOUR)
    operator.enact()

    assert market.deadline("return_window", order).promised_at - first == DAY


def test_a_new_rule_moves_nothing_that_a_hold_covers_and_has_not_marked(market: Market, operator: Operator) -> None:
    operator.hold(at=MONDAY + DAY, country="DE")
    operator.enact(at=MONDAY + 2 * DAY)
    dispute = market.dispute(order_id=market.order(country="DE"), opened_at=MONDAY)
    market.run("stamp", at=MONDAY + 2 * DAY + 5 * SECOND)
    market.configure('[policy.seller_response]\nperiod = "1 day"\nremind = []\n')
    book = market.wiring.rulebook
    done = restamp(Plan(market.engine, market.clock, book, Hand("maria"), "a new rule", "fire"), book.active())

    assert done.total() == 0
    assert market.deadline("seller_response", dispute).promised_at == DUE


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("market", ["postgresql", "mariadb"], indirect=True)
def test_of_two_who_resume_a_row_at_once_one_is_told_that_it_runs(
    market: Market, operator: Operator, german: int, wide: bool
) -> None:
    operator.hold(*(() if wide else ("disputes", german)), at=MONDAY + DAY, **({"country": "DE"} if wide else {}))
    market.clock.at = MONDAY + 2 * DAY
    answers: list[str] = []

    def resume() -> None:
        try:
            operator.resume("disputes", german)
            answers.append("done")
        except Refused:
            answers.append("refused")

    both = [threading.Thread(target=resume) for _ in range(2)]
    with writing(market.engine) as connection:
        connection.execute(text("SELECT id FROM clock_holds FOR UPDATE"))
        for one in both:
            one.start()
        for one in both:
            one.join(1)
    for one in both:
        one.join(30)

    assert sorted(answers) == ["done", "refused"]
    assert market.events().count("hold:ended") == 1


def test_who_ended_a_hold_stays_known_when_its_row_is_resumed_before_the_next_tick(
    market: Market, operator: Operator, german: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.hold("disputes", german, at=MONDAY + DAY, ends=MONDAY + 2 * DAY)
    desk = replace(operator.desk(), hand=Hand("second"))
    market.clock.at = MONDAY + 3 * DAY
    assert resume_row(desk, operator.scope("disputes", german))["resumed"] == 1

    (row,) = market.rows(holds)
    assert (row.ended_by, row.ends_at, row.done_at) == (None, MONDAY + 2 * DAY, MONDAY + 3 * DAY)
