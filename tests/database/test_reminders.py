"""Reminders: each once and in time, never late, never two at once, and none to who has acted."""

from __future__ import annotations

import pytest

from returnclock.tables.clock import outbox
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
FIRST, SECOND_ONE = DUE - 2 * DAY, DUE - DAY


@pytest.fixture
def dispute(market: Market) -> int:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    assert market.deadline("seller_response", dispute).remind_at == FIRST
    return dispute


def test_no_reminder_is_queued_a_second_before_its_time(market: Market, dispute: int) -> None:
    assert market.run("send-reminders", at=FIRST - SECOND)["queued"] == 0
    assert market.run("send-reminders", at=FIRST)["queued"] == 1


def test_each_reminder_is_queued_once_and_the_next_one_follows(market: Market, dispute: int) -> None:
    assert [market.run("send-reminders", at=FIRST)["queued"] for _ in range(2)] == [1, 0]
    assert market.deadline("seller_response", dispute).remind_at == SECOND_ONE
    assert [market.run("send-reminders", at=SECOND_ONE)["queued"] for _ in range(2)] == [1, 0]
    assert market.deadline("seller_response", dispute).remind_at is None

    assert [row.party for row in market.notices(notice="reminder")] == ["seller", "seller"]
    assert market.events("seller_response", dispute).count("reminder:queued") == 2


def test_a_reminder_that_an_outage_of_two_days_made_stale_is_skipped_and_the_next_is_sent(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)  # reminders on the 14th and the 16th at nine
    market.run("stamp", at=MONDAY)
    result = market.run("send-reminders", at=MONDAY.replace(day=16, hour=8))

    assert (result["queued"], result["skipped"], market.count(outbox)) == (0, 1, 0)
    assert "reminder:skipped" in market.events("return_window", order)
    assert market.run("send-reminders", at=MONDAY.replace(day=16, hour=9))["queued"] == 1


def test_a_reminder_is_fresh_for_six_hours_and_no_longer(market: Market, dispute: int) -> None:
    assert market.run("send-reminders", at=FIRST + 6 * HOUR)["queued"] == 1
    market.dispute()
    market.run("stamp", at=MONDAY)
    assert market.run("send-reminders", at=FIRST + 6 * HOUR + SECOND)["queued"] == 0


def test_of_two_reminders_that_are_due_only_the_later_is_sent(market: Market, dispute: int) -> None:
    market.run("send-reminders", at=SECOND_ONE + HOUR)
    market.run("send-reminders")
    market.run("deliver-mail")

    assert len(market.mailer.taken) == 1
    assert market.deadline("seller_response", dispute).remind_at is None


def test_nobody_is_reminded_once_the_communicated_date_has_passed(market: Market) -> None:
    market.configure('reminder_stale_after = "3 days"\n[policy.seller_response]\ngrace = "1 day"\n')
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)

    assert market.run("send-reminders", at=DUE)["queued"] == 0
    assert market.deadline("seller_response", dispute).state == "running"


def test_a_reminder_queued_in_time_is_not_sent_after_the_communicated_date(market: Market) -> None:
    market.configure('[policy.seller_response]\ngrace = "1 day"\n')
    market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("send-reminders", at=SECOND_ONE)
    market.run("deliver-mail", at=DUE)

    assert market.mailer.taken == []
    assert [row.state for row in market.notices()] == ["suppressed"]


def test_who_has_answered_is_not_reminded_though_it_was_not_stamped_yet(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, status="awaiting_buyer")

    assert market.run("send-reminders", at=FIRST)["queued"] == 0


def test_a_reminder_that_waits_behind_a_later_one_is_suppressed(market: Market, dispute: int) -> None:
    market.run("send-reminders", at=FIRST)
    market.run("send-reminders", at=SECOND_ONE)
    market.run("deliver-mail")

    assert [row.state for row in market.notices()] == ["suppressed", "sent"]


def test_a_row_stamped_late_is_not_owed_the_reminders_of_its_past(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=FIRST + HOUR)

    assert market.deadline("seller_response", dispute).remind_at == SECOND_ONE
    assert market.run("send-reminders")["examined"] == 0


def test_buyers_are_reminded_of_the_return_window_in_the_morning_of_their_zone(market: Market) -> None:
    buyer = market.insert("buyers", email="bea@home.example", time_zone="Europe/Lisbon")
    order = market.order(delivered_at=MONDAY, buyer_id=buyer)
    market.run("stamp")

    # The last day is the 17th; three days before it at nine, and Lisbon is on UTC until the 29th.
    assert market.deadline("return_window", order).remind_at == MONDAY.replace(day=14, hour=9)
    market.run("send-reminders", at=MONDAY.replace(day=14, hour=9))
    market.run("deliver-mail")
    assert market.mailer.addresses() == ["bea@home.example"]
