"""Hold and resume: nothing happens under a hold, nothing of the time is lost, and the ledger tells all of it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from returnclock import claims, firing, sweep
from returnclock.database import reading, writing
from returnclock.errors import BadUsage, NotFound, Refused
from returnclock.tables.clock import deadlines, events
from returnclock.tables.interventions import holds
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
HELD, RAN = MONDAY + DAY, MONDAY + 8 * DAY  # the same time of day: seven days


def test_nothing_happens_under_a_hold_and_what_was_left_comes_after_it(
    market: Market, operator: Operator, dispute: int
) -> None:
    assert operator.hold("disputes", dispute, at=HELD)["held"] == 1
    market.run("send-reminders", at=DUE - DAY)
    assert market.sweep_all(at=DUE + 2 * DAY) == 0
    assert (market.states("seller_response", dispute), market.notices()) == (["held"], [])

    assert operator.resume("disputes", dispute, at=RAN)["resumed"] == 1
    deadline = market.deadline("seller_response", dispute)
    assert (deadline.state, deadline.promised_at, deadline.due_at) == ("running", DUE + 7 * DAY, DUE + 7 * DAY)
    assert deadline.remind_at == DUE + 5 * DAY
    assert market.sweep_all(at=DUE + 7 * DAY - SECOND) == 0
    assert market.sweep_all(at=DUE + 7 * DAY) == 1


def test_the_ledger_says_who_held_why_and_every_step(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=HELD)
    operator.resume("disputes", dispute, at=RAN)

    held, resumed = (
        row
        for row in market.rows(events, kind="seller_response")
        if row.event.startswith("deadline:") and "stamped" not in row.event
    )
    assert (held.event, held.actor, held.detail["reason"], held.detail["from"]) == (
        *("deadline:held", "maria", "the shop was down"),
        HELD.isoformat(),
    )
    assert (resumed.event, resumed.detail["from"], resumed.detail["until"]) == (
        "deadline:resumed",
        HELD.isoformat(),
        RAN.isoformat(),
    )
    assert resumed.detail["promised_at"] == (DUE + 7 * DAY).isoformat()
    (story, *_) = market.explain("disputes", dispute, at=RAN).stories
    assert any("The day of the event is not counted" in step for step in story.steps)
    assert any(step.startswith("Held from Tue 3 Mar 2026 10:00") for step in story.steps)
    assert any(step.startswith("Now due Sat 14 Mar 2026 10:00") for step in story.steps)


def test_a_hold_by_the_deadline_s_number_is_one_of_its_row(market: Market, operator: Operator, dispute: int) -> None:
    number = market.deadline("seller_response", dispute).id
    assert operator.hold(number)["scope"] == {"kind": "seller_response", "table": "disputes", "id": str(dispute)}
    assert operator.resume(number)["resumed"] == 1


def test_a_second_resume_and_a_hold_of_what_does_not_run_are_refused(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=HELD)
    operator.resume("disputes", dispute, at=RAN)
    with pytest.raises(Refused, match="not held"):
        operator.resume("disputes", dispute)
    market.run("escalate-disputes", at=DUE + 7 * DAY)
    with pytest.raises(Refused, match="nothing to hold"):
        operator.hold("disputes", dispute)
    with pytest.raises(NotFound):
        operator.hold("dispute", dispute)
    with pytest.raises(BadUsage, match="did you mean"):
        operator.hold(contry="DE")


def test_a_hold_at_the_very_second_of_its_effect_holds_and_gives_nothing(
    market: Market, operator: Operator, dispute: int
) -> None:
    operator.hold("disputes", dispute, at=DUE)
    assert market.sweep_all(at=DUE + DAY) == 0
    operator.resume("disputes", dispute, at=DUE + 2 * DAY)

    assert market.deadline("seller_response", dispute).due_at == DUE
    assert market.sweep_all() == 1


def test_two_holds_that_overlap_are_one_span(market: Market, operator: Operator) -> None:
    dispute = market.dispute(order_id=market.order(country="DE", category="lamps"))
    market.run("stamp", at=MONDAY)
    by_country = operator.hold(at=HELD, country="DE")["hold"]
    operator.hold(at=HELD + DAY, category="lamps", ends=RAN)

    assert operator.resume_hold(by_country, at=HELD + 3 * DAY)["resumed"] == 0
    assert market.states("seller_response", dispute) == ["held"]
    assert market.sweep_all(at=RAN + HOUR) == 0  # an hour late: what counts is when the hold ended
    assert market.deadline("seller_response", dispute).promised_at == DUE + 7 * DAY
    assert market.events("seller_response", dispute).count("deadline:held") == 1


def test_a_hold_by_scope_catches_what_comes_later_and_ends_by_itself(market: Market, operator: Operator) -> None:
    operator.hold(at=MONDAY - DAY, starts=MONDAY, ends=MONDAY + 10 * DAY, country="DE")
    inside = market.dispute(order_id=market.order(country="DE"), opened_at=MONDAY + 2 * DAY)
    outside = market.dispute(order_id=market.order(country="FR"), opened_at=MONDAY + 2 * DAY)
    market.run("stamp", at=MONDAY + 2 * DAY)

    assert market.sweep_all(at=MONDAY + 8 * DAY) == 1
    assert (market.states("seller_response", inside), market.states("seller_response", outside)) == (["held"], ["fired"])
    market.sweep_all(at=MONDAY + 10 * DAY)
    assert market.deadline("seller_response", inside).promised_at == MONDAY + 15 * DAY
    assert [row.done_at is not None for row in market.rows(holds)] == [True]


def test_a_hold_that_passed_while_no_worker_ran_is_made_good(market: Market, operator: Operator) -> None:
    dispute = market.dispute(order_id=market.order(country="DE"))
    market.run("stamp", at=MONDAY)
    operator.hold(at=MONDAY, starts=MONDAY + DAY, ends=MONDAY + 4 * DAY, country="DE")

    assert market.sweep_all(at=DUE + HOUR) == 0
    assert market.deadline("seller_response", dispute).promised_at == DUE + 3 * DAY


def test_a_deadline_that_nobody_has_marked_yet_does_not_fire_under_a_hold(market: Market, operator: Operator) -> None:
    operator.hold(at=MONDAY, country="DE")
    market.run("escalate-disputes", at=DUE - SECOND)
    dispute = market.dispute(order_id=market.order(country="DE"))
    market.run("stamp", at=DUE - SECOND)

    with reading(market.engine) as connection:
        assert not sweep.has_work(connection, market.clock.at, market.wiring.kinds)
    assert market.sweep_all(at=DUE + 30 * SECOND) == 0
    assert market.states("seller_response", dispute) == ["running"]
    assert market.sweep_all(at=DUE + HOUR) == 0
    assert market.states("seller_response", dispute) == ["held"]


def test_one_row_can_be_taken_out_of_a_wide_hold(market: Market, operator: Operator) -> None:
    one, other = (market.dispute(order_id=market.order(country="DE")) for _ in range(2))
    market.run("stamp", at=MONDAY)
    operator.hold(at=HELD, country="DE")
    operator.resume("disputes", one, at=RAN)
    market.sweep_all(at=RAN + HOUR)

    assert market.states("seller_response", one) == ["running"]
    assert market.states("seller_response", other) == ["held"]


def test_a_party_that_acts_while_held_has_met_it(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=HELD)
    market.update("disputes", dispute, status="accepted")
    market.run("stamp", at=HELD + DAY)

    assert market.states("seller_response", dispute) == ["met"]
    assert market.sweep_all(at=RAN) == 0


def test_a_row_that_stopped_under_a_hold_and_runs_again_keeps_what_stood_still(market: Market, operator: Operator) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    before = market.deadline("return_window", order).promised_at
    operator.hold("orders", order, at=HELD)
    dispute = market.dispute(order_id=order, opened_at=HELD + DAY)
    market.run("stamp", at=HELD + DAY)
    operator.resume("orders", order, at=HELD + 2 * DAY)
    market.delete("disputes", dispute)
    market.run("stamp", at=HELD + 3 * DAY)

    deadline = market.deadline("return_window", order)
    assert (deadline.state, deadline.promised_at) == ("running", before + DAY)


def test_a_row_that_is_reopened_under_its_hold_is_held_again(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=HELD)
    market.update("disputes", dispute, status="awaiting_buyer")
    market.run("stamp", at=HELD + DAY)
    market.update("disputes", dispute, status="awaiting_seller")
    again = HELD + 2 * DAY
    market.run("stamp", at=again)

    assert market.sweep_all(at=again + 9 * DAY) == 0
    operator.resume("disputes", dispute, at=again + 10 * DAY)
    assert market.deadline("seller_response", dispute).promised_at == again + 15 * DAY


def test_a_retroactive_hold_gives_back_what_has_passed_since(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=MONDAY + 3 * DAY, starts=MONDAY + DAY)
    operator.resume("disputes", dispute, at=MONDAY + 3 * DAY)

    assert market.deadline("seller_response", dispute).promised_at == DUE + 2 * DAY


def test_every_reminder_is_sent_anew_for_the_new_date(market: Market, operator: Operator, dispute: int) -> None:
    market.run("send-reminders", at=DUE - 2 * DAY)
    market.run("deliver-mail")
    operator.hold("disputes", dispute, at=DUE - 2 * DAY + HOUR)
    operator.resume("disputes", dispute, at=DUE + 10 * DAY)
    market.run("send-reminders", at=DUE + 11 * DAY)
    market.run("deliver-mail")

    assert len(market.mailer.taken) == 2


@pytest.mark.parametrize("start", ["2026-03-20 10:00", "2026-10-17 10:00", "2026-12-18 16:00"])
def test_dates_after_holds_can_be_rebuilt_from_the_ledger_alone(market: Market, operator: Operator, start: str) -> None:
    """Two holds over a clock change, or over Christmas: each event says what was before and after, without a gap."""
    seller = market.insert("sellers", time_zone="Europe/Lisbon")
    order = market.order(seller_id=seller, country="DE", subdivision="BY")
    begun = datetime.fromisoformat(f"{start}+00:00")
    refund = market.refund(order_id=order, started_at=begun)
    market.run("stamp", at=begun)
    for day in (2, 9):
        operator.hold("refunds", refund, at=begun + day * DAY)
        operator.resume("refunds", refund, at=begun + (day + 4) * DAY + HOUR)

    deadline = market.deadline("refund_completion", refund)
    told = [row.detail for row in market.rows(events, deadline_id=deadline.id) if "promised_at" in (row.detail or {})]
    assert [one["was_promised_at"] for one in told[1:]] == [one["promised_at"] for one in told[:-1]]
    assert told[-1]["promised_at"] == deadline.promised_at.isoformat()
    assert deadline.promised_at > datetime.fromisoformat(told[0]["promised_at"]) + 5 * DAY


def test_a_hold_waits_for_the_sweep_that_has_claimed_the_deadline(postgres_market: Market) -> None:
    market, operator = postgres_market, Operator(postgres_market)
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE
    done: list[int] = []
    with writing(market.engine) as connection:
        kind = market.wiring.rulebook.kind("seller_response")
        ready = connection.execute(
            claims.all_true(kind, *firing.before_firing(kind)).with_for_update(of=[deadlines, kind.subject])
        ).all()
        thread = threading.Thread(target=lambda: done.append(operator.hold("disputes", dispute)["held"]))
        thread.start()
        thread.join(timeout=1)
        assert thread.is_alive()
        firing.fire(connection, kind, operator.desk().hand, DUE, ready)
    thread.join(timeout=20)

    assert done == [0]
    assert market.states("seller_response", dispute) == ["fired"]
    assert market.row("disputes", dispute).status == "escalated"


def test_a_hold_of_thousands_is_carried_out_in_batches_and_loses_none(sqlite_market: Market) -> None:
    market, operator = sqlite_market, Operator(sqlite_market)
    order = market.order(country="DE")
    with market.transaction() as connection:
        for number in range(1201):
            market.insert_with(connection, "disputes", {"id": 5000 + number, "order_id": order, "opened_at": MONDAY})
    market.run("stamp", at=MONDAY)

    result = operator.hold(at=HELD, country="DE")
    assert (result["matched"], result["held"]) == (1201, 1201)
    assert operator.resume_hold(result["hold"], at=RAN)["resumed"] == 1201
    with reading(market.engine) as connection:
        dates = set(connection.execute(select(deadlines.c.due_at, deadlines.c.state)))
    assert dates == {(DUE + timedelta(days=7), "running")}


def test_a_hold_that_reaches_further_back_than_one_that_stands_gives_those_days_too(market: Market, operator: Operator) -> None:
    german = market.order(country="DE")
    held, free = market.dispute(order_id=german), market.dispute(order_id=german)
    market.run("stamp", at=MONDAY)
    operator.hold("disputes", held, at=MONDAY + 3 * DAY)
    operator.hold(at=MONDAY + 3 * DAY + HOUR, starts=MONDAY + DAY, country="DE")
    for one in (held, free):
        operator.resume("disputes", one, at=MONDAY + 4 * DAY)

    assert {market.deadline("seller_response", one).promised_at for one in (held, free)} == {DUE + 3 * DAY}
    assert market.events("seller_response", held).count("deadline:held") == 2


def test_a_hold_that_reaches_back_before_days_that_were_given_back_gives_none_of_them_again(
    market: Market, operator: Operator, dispute: int
) -> None:
    operator.hold("disputes", dispute, at=MONDAY + DAY)
    operator.resume("disputes", dispute, at=MONDAY + 2 * DAY)
    operator.hold("disputes", dispute, at=MONDAY + 2 * DAY)
    operator.hold(at=MONDAY + 3 * DAY, starts=MONDAY, kind="seller_response")
    assert market.events("seller_response", dispute).count("deadline:held") == 2  # nothing that the second would add
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY)

    assert market.deadline("seller_response", dispute).promised_at == DUE + 3 * DAY


def test_what_is_stamped_later_stands_still_from_the_hold_that_began_first(market: Market, operator: Operator) -> None:
    operator.hold(at=MONDAY + 2 * DAY, kind="seller_response")
    operator.hold(at=MONDAY + 2 * DAY + HOUR, starts=MONDAY + DAY, everything=True)
    dispute = market.dispute()
    market.run("stamp", at=MONDAY + 3 * DAY)
    operator.enact(at=MONDAY + 3 * DAY)
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY)

    assert market.deadline("seller_response", dispute).promised_at == DUE + 3 * DAY


def test_to_resume_one_deadline_leaves_the_others_of_its_row_held(market: Market, operator: Operator) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    one, other, *rest = (row.id for row in market.rows(deadlines))
    wide = operator.hold(at=MONDAY + HOUR, everything=True)["hold"]
    operator.hold("refunds", refund)
    assert operator.resume(one, at=MONDAY + 2 * HOUR)["resumed"] == 1
    assert operator.enact(at=MONDAY + DAY) == {"held": 0, "resumed": 0}
    states = {row.id: row.state for row in market.rows(deadlines)}
    assert states == {one: "running", other: "held", **dict.fromkeys(rest, "held")}
    operator.resume_hold(wide, at=MONDAY + DAY)
    assert {row.id: row.state for row in market.rows(deadlines)} == states
    for number in (other, *rest):
        operator.resume(number, at=MONDAY + 2 * DAY)
    assert {row.state for row in market.rows(deadlines)} == {"running"}


def test_the_hold_of_a_single_deadline_ends_with_it_and_that_of_its_row_goes_on(market: Market, operator: Operator) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    one = market.deadline("refund_inspection", refund).id
    operator.hold(one, at=MONDAY + HOUR)
    operator.hold("refunds", refund)
    operator.resume(one, at=MONDAY + 2 * HOUR)
    assert [row.done_at is not None for row in market.rows(holds)] == [True, False]

    market.update("refunds", refund, status="processing", inspected_at=MONDAY + 3 * HOUR)
    market.run("stamp", at=MONDAY + 3 * HOUR)
    operator.enact()
    assert market.states("refund_processing", refund) == ["held"]
