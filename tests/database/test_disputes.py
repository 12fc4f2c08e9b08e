"""The seller's answer: who answers is never escalated, and who does not is, once, whatever came between."""

from __future__ import annotations

from typing import Any

import pytest

from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
EVERY_KIND = ["return_goods", "refund_only", "exchange_goods"]


def status(market: Market, dispute: int) -> str:
    return str(market.row("disputes", dispute).status)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_silent_seller_is_escalated_in_every_kind_of_dispute(market: Market, kind: str) -> None:
    dispute = market.dispute(kind=kind)
    market.run("stamp")

    market.run("escalate-disputes", at=DUE)

    row = market.row("disputes", dispute)
    assert (row.status, row.escalated_by, row.escalated_at) == ("escalated", "clock", DUE)


@pytest.mark.parametrize("answer", ["awaiting_buyer", "accepted", "refused"])
def test_an_answered_dispute_is_never_escalated(market: Market, dispute: int, answer: str) -> None:
    market.update("disputes", dispute, status=answer, seller_replied_at=MONDAY + DAY)
    market.run("stamp", at=MONDAY + DAY)

    market.run("escalate-disputes", at=DUE + 30 * DAY)

    assert status(market, dispute) == answer
    assert market.states("seller_response", dispute) == ["met"]


@pytest.mark.parametrize("answer", ["awaiting_buyer", "accepted", "refused", "closed", "escalated"])
def test_a_change_that_was_not_stamped_yet_wins_over_the_sweep(market: Market, dispute: int, answer: str) -> None:
    market.update("disputes", dispute, status=answer)

    result = market.run("escalate-disputes", at=DUE + HOUR)

    assert (result["changed"], status(market, dispute)) == (0, answer)
    assert market.row("disputes", dispute).escalated_by is None


def test_a_reply_after_the_due_moment_but_before_the_sweep_wins(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, seller_replied_at=DUE + SECOND)

    market.run("escalate-disputes", at=DUE + 2 * SECOND)
    market.run("stamp")

    assert status(market, dispute) == "awaiting_seller"
    assert market.states("seller_response", dispute) == ["met", "running"]


def test_a_message_breaks_the_silence_and_starts_a_new_clock(market: Market, dispute: int) -> None:
    replied = MONDAY + 3 * DAY
    market.update("disputes", dispute, seller_replied_at=replied)
    market.run("stamp", at=replied + SECOND)

    first, second = market.deadlines("seller_response", dispute)
    assert (first.state, second.state, second.due_at) == ("met", "running", replied + 5 * DAY)
    market.run("escalate-disputes", at=replied + 5 * DAY - SECOND)
    assert status(market, dispute) == "awaiting_seller"
    market.run("escalate-disputes", at=replied + 5 * DAY)
    assert status(market, dispute) == "escalated"


@pytest.mark.parametrize("by", ["buyer", "seller"])
def test_an_escalation_by_a_party_makes_the_clock_void_and_keeps_its_name(market: Market, dispute: int, by: str) -> None:
    market.update("disputes", dispute, status="escalated", escalated_by=by, escalated_at=MONDAY + DAY)
    market.run("stamp", at=MONDAY + DAY)
    market.run("escalate-disputes", at=DUE)

    assert market.states("seller_response", dispute) == ["void"]
    assert market.row("disputes", dispute).escalated_by == by


def test_a_dispute_closed_without_an_answer_is_void_and_not_met(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, status="closed")
    market.run("stamp")

    assert market.states("seller_response", dispute) == ["void"]


def test_a_deleted_dispute_is_void(market: Market, dispute: int) -> None:
    market.delete("disputes", dispute)
    market.run("stamp")

    assert market.states("seller_response", dispute) == ["void"]
    assert market.sweep_all(at=DUE) == 0


def test_reopening_with_a_new_date_starts_a_new_clock(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, status="awaiting_buyer", seller_replied_at=MONDAY + DAY)
    market.run("stamp", at=MONDAY + DAY)
    again = MONDAY + 4 * DAY
    market.update("disputes", dispute, status="awaiting_seller", awaiting_seller_since=again)
    market.run("stamp", at=again + HOUR)

    assert market.states("seller_response", dispute) == ["met", "running"]
    assert market.deadlines("seller_response", dispute)[1].due_at == again + 5 * DAY


def test_reopening_with_a_date_before_the_answer_was_seen_is_taken_at_its_word(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, status="accepted")
    market.run("stamp", at=MONDAY + 4 * DAY)
    since = MONDAY + 2 * DAY
    market.update("disputes", dispute, status="awaiting_seller", awaiting_seller_since=since)
    market.run("stamp", at=MONDAY + 5 * DAY)

    assert market.deadlines("seller_response", dispute)[1].due_at == since + 5 * DAY
    assert market.sweep_all(at=since + 5 * DAY - SECOND) == 0
    assert market.sweep_all(at=since + 5 * DAY) == 1


def test_reopening_with_the_old_date_counts_from_when_it_was_seen(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, status="awaiting_buyer")
    market.run("stamp", at=MONDAY + DAY)
    market.update("disputes", dispute, status="awaiting_seller")
    seen = MONDAY + 20 * DAY
    market.run("stamp", at=seen)

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.state, deadline.round, deadline.due_at) == ("running", 1, seen + 5 * DAY)
    market.run("escalate-disputes", at=seen + 5 * DAY - SECOND)
    assert status(market, dispute) == "awaiting_seller"
    market.run("escalate-disputes", at=seen + 5 * DAY)
    assert status(market, dispute) == "escalated"


def test_the_days_on_which_the_buyer_was_to_act_are_no_days_of_silence(market: Market, dispute: int) -> None:
    """A rude front end keeps the seller's message but forgets ``awaiting_seller_since`` when the turn comes back."""
    market.update("disputes", dispute, status="awaiting_buyer", seller_replied_at=MONDAY + DAY)
    market.run("stamp", at=MONDAY + DAY + SECOND)
    market.update("disputes", dispute, status="awaiting_seller")
    seen = MONDAY + 20 * DAY
    market.run("stamp", at=seen)

    assert market.sweep_all(at=seen + 5 * DAY - SECOND) == 0
    assert market.sweep_all(at=seen + 5 * DAY) == 1


def test_a_dispute_reopened_after_firing_gets_its_full_time_again(market: Market, dispute: int) -> None:
    market.run("escalate-disputes", at=DUE)
    market.run("stamp")
    market.update("disputes", dispute, status="awaiting_seller")
    seen = DUE + 2 * DAY
    market.run("stamp", at=seen)

    assert market.sweep_all(at=seen + 5 * DAY - SECOND) == 0
    assert market.sweep_all(at=seen + 5 * DAY) == 1
    assert market.events("seller_response", dispute).count("dispute:escalated") == 2
    assert len(market.notices(notice="outcome")) == 4


def test_what_the_sweep_wrote_is_not_taken_for_a_change_by_a_front_end(market: Market, dispute: int) -> None:
    market.run("escalate-disputes", at=DUE)
    for task in ("stamp", "reconcile", "stamp"):
        market.run(task)

    assert market.states("seller_response", dispute) == ["fired"]
    assert market.sweep_all(at=DUE + 100 * DAY) == 0


@pytest.mark.parametrize("missing", [{"awaiting_seller_since": MONDAY}, {"seller_replied_at": MONDAY}])
def test_any_one_of_the_dates_starts_the_clock(market: Market, missing: dict[str, Any]) -> None:
    dispute = market.dispute(opened_at=None, **missing)
    market.run("stamp")

    assert market.deadline("seller_response", dispute).due_at == DUE
