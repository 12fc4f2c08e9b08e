"""A date that a notice has promised stays where a correction or changed rules would end it sooner, with all that it has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest

from returnclock.ledger import Hand
from returnclock.restamp import Plan, Restamped, restamp
from returnclock.tables.clock import events
from tests.database.market import DAY, MONDAY, Market

SUNDAY = datetime(2026, 3, 8, 10, tzinfo=UTC)
GRACE = '[policy.seller_response]\ngrace = "1 business day"\n'
PROMISED, IN_EFFECT = SUNDAY + 5 * DAY, SUNDAY + 8 * DAY  # Friday, and the Monday after it


def remind(market: Market, kind: str, row: int) -> None:
    market.run("send-reminders", at=market.deadline(kind, row).remind_at)
    assert market.run("deliver-mail")["changed"] == 1


def apply_rules(market: Market, overdue: Literal["notice", "skip"] = "skip") -> Restamped:
    wiring = market.wiring
    plan = Plan(wiring.engine, market.clock, wiring.rulebook, Hand("maria"), "new terms", overdue)
    return restamp(plan, wiring.rulebook.kinds)


@pytest.fixture
def reminded(market: Market) -> int:
    """A dispute with a grace, whose seller was told the date."""
    market.configure(GRACE)
    dispute = market.dispute(opened_at=SUNDAY)
    market.run("stamp", at=SUNDAY)
    remind(market, "seller_response", dispute)
    return dispute


def test_a_promised_date_keeps_its_whole_grace_when_the_start_is_corrected(market: Market, reminded: int) -> None:
    market.update("disputes", reminded, awaiting_seller_since=SUNDAY - 2 * DAY)
    market.run("stamp")
    now = market.deadlines("seller_response", reminded)[-1]
    assert (now.promised_at, now.due_at) == (PROMISED, IN_EFFECT)
    steps = market.rows(events, deadline_id=now.id)[0].detail["steps"]
    assert steps[-1].startswith("Takes effect Mon 16 Mar 2026 10:00")


def test_a_promised_date_keeps_its_whole_grace_when_the_rule_is_shortened(market: Market, reminded: int) -> None:
    market.configure(GRACE + 'period = "4 days"\n')
    assert apply_rules(market).total() == 0
    now = market.deadline("seller_response", reminded)
    assert (now.promised_at, now.due_at) == (PROMISED, IN_EFFECT)


def test_restamping_once_more_moves_nothing(market: Market) -> None:
    opened = datetime(2026, 2, 28, 12, tzinfo=UTC)
    dispute = market.dispute(opened_at=opened)
    market.run("stamp", at=opened + DAY)
    market.configure(GRACE + 'period = "2 days"\n')
    market.clock.at = datetime(2026, 3, 3, 13, tzinfo=UTC)
    assert apply_rules(market, "notice").total() == 1
    given = market.deadline("seller_response", dispute).due_at
    assert apply_rules(market, "notice").total() == 0
    assert market.deadline("seller_response", dispute).due_at == given


def test_the_reminders_to_come_are_those_of_the_promised_date(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    remind(market, "return_window", order)
    market.update("orders", order, delivered_at=MONDAY - 3 * DAY)
    market.run("stamp")
    now = market.deadlines("return_window", order)[-1]
    assert now.promised_at == datetime(2026, 3, 18, tzinfo=UTC)
    assert now.remind_at == datetime(2026, 3, 16, 9, tzinfo=UTC)
