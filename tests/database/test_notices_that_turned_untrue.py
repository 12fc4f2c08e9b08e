"""A notice is looked at once more when it is sent: what the front end has put right since is not told."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from returnclock.database import reading
from returnclock.errors import NoticeDeferred
from returnclock.tables.clock import outbox
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY


@pytest.fixture
def escalated(market: Market) -> int:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    return dispute


def told(market: Market) -> list[str]:
    market.run("stamp", at=market.clock.at + HOUR)
    market.run("deliver-mail")
    return [str(message.parsed["subject"]) for message in market.mailer.taken]


def test_nobody_is_told_of_an_escalation_that_was_reopened_before_the_mail_went(market: Market, escalated: int) -> None:
    back = DUE + HOUR
    market.update("disputes", escalated, status="awaiting_seller", awaiting_seller_since=back)
    assert told(market) == []
    assert {row.state for row in market.notices()} == {"suppressed"}


def test_the_parties_of_a_later_row_with_the_same_id_are_not_told_of_the_first(market: Market, escalated: int) -> None:
    market.delete("disputes", escalated)
    market.insert("disputes", id=escalated, order_id=market.order(), opened_at=DUE)
    assert told(market) == []


def test_both_are_told_of_an_escalation_though_it_was_decided_before_the_mail_went(market: Market, escalated: int) -> None:
    market.update("disputes", escalated, status="closed")
    assert len(told(market)) == 2


def test_nobody_is_told_that_a_window_has_ended_which_the_shop_gave_back(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.run("expire-return-windows", at=MONDAY + 16 * DAY)
    market.update("orders", order, return_status="requested", return_expired_at=None)
    assert told(market) == []


def test_a_reminder_that_was_not_sent_does_not_keep_the_earlier_one_back(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.run("send-reminders", at=market.deadline("return_window", order).remind_at)
    address = market.row("buyers", market.row("orders", order).buyer_id).email
    market.mailer.faults = {address: [NoticeDeferred(reason="450 later")]}
    market.run("deliver-mail")
    second = market.deadline("return_window", order).remind_at
    market.run("send-reminders", at=second)
    with reading(market.engine) as connection:
        first = connection.execute(select(func.min(outbox.c.id))).scalar_one()
    market.update("clock_outbox", first, next_attempt_at=second + HOUR)
    dispute = market.dispute(order_id=order, opened_at=second)
    market.run("deliver-mail", at=second + SECOND)
    assert market.mailer.taken == []
    market.delete("disputes", dispute)
    market.run("deliver-mail", at=second + 2 * HOUR)

    assert [row.state for row in market.notices()] == ["sent", "suppressed"]


@pytest.mark.parametrize("decided", [False, True])
def test_a_correction_is_told_whether_or_not_the_clock_runs_again(market: Market, decided: bool) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    market.sweep_all(at=MONDAY + 30 * DAY)
    market.run("deliver-mail", at=MONDAY + 31 * DAY)
    if decided:
        market.update("refunds", refund, status="completed", completed_at=MONDAY + 31 * DAY)
    market.mailer.taken.clear()
    assert Operator(market).undo("refunds", refund)["undone"] >= 1
    assert any("Correction" in subject for subject in told(market))
    assert not market.notices(state="dead")
