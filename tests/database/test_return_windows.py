"""The return window: it hangs on the actual delivery, and no order with a dispute ever expires."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = datetime(2026, 3, 18, tzinfo=UTC)


@pytest.fixture
def order(market: Market) -> int:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY + HOUR)
    return order


def status(market: Market, order: int) -> str:
    return str(market.row("orders", order).return_status)


def test_an_order_with_a_dispute_never_expires_though_its_status_was_left_open(market: Market, order: int) -> None:
    market.dispute(order_id=order, opened_at=MONDAY + DAY)
    market.run("stamp", at=MONDAY + DAY)

    market.run("expire-return-windows", at=DUE + 30 * DAY)

    assert (status(market, order), market.states("return_window", order)) == ("open", ["met"])


def test_a_dispute_that_was_not_stamped_yet_keeps_its_order_from_expiring(market: Market, order: int) -> None:
    market.dispute(order_id=order, opened_at=DUE)

    assert market.run("expire-return-windows", at=DUE + SECOND)["changed"] == 0
    assert status(market, order) == "open"


def test_a_requested_return_never_expires(market: Market, order: int) -> None:
    market.update("orders", order, return_status="requested")
    market.run("stamp")
    market.run("expire-return-windows", at=DUE)

    assert (status(market, order), market.states("return_window", order)) == ("requested", ["met"])


def test_the_window_runs_again_with_its_first_date_when_the_dispute_is_deleted(market: Market, order: int) -> None:
    dispute = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY + DAY)
    market.delete("disputes", dispute)
    market.run("stamp", at=MONDAY + 2 * DAY)

    deadline = market.deadline("return_window", order)
    assert (deadline.state, deadline.promised_at, deadline.due_at) == ("running", DUE, DUE)
    assert market.sweep_all(at=DUE - SECOND) == 0
    assert market.sweep_all(at=DUE) == 1


def test_a_dispute_that_moves_to_another_order_frees_its_first(market: Market, order: int) -> None:
    other = market.order(delivered_at=MONDAY)
    dispute = market.dispute(order_id=order)
    market.run("stamp")
    market.update("disputes", dispute, order_id=other)
    market.run("stamp")

    assert (market.states("return_window", order), market.states("return_window", other)) == (["running"], ["met"])


def test_a_later_delivery_date_moves_the_window(market: Market, order: int) -> None:
    market.update("orders", order, delivered_at=MONDAY + 3 * DAY)
    market.run("stamp", at=MONDAY + 4 * DAY)

    assert market.states("return_window", order) == ["void", "running"]
    assert market.sweep_all(at=DUE + 3 * DAY - SECOND) == 0
    assert market.sweep_all(at=DUE + 3 * DAY) == 1


def test_an_earlier_delivery_date_moves_the_window_when_nobody_was_told(market: Market, order: int) -> None:
    market.update("orders", order, delivered_at=MONDAY - 3 * DAY)
    market.run("stamp")

    assert market.deadlines("return_window", order)[1].due_at == DUE - 3 * DAY


def reminded(market: Market, order: int) -> None:
    market.run("send-reminders", at=market.deadlines("return_window", order)[-1].remind_at)
    assert market.run("deliver-mail")["changed"] == 1


def test_an_earlier_delivery_date_takes_no_day_that_a_notice_has_promised(market: Market, order: int) -> None:
    reminded(market, order)
    market.update("orders", order, delivered_at=MONDAY - 3 * DAY)
    market.run("stamp")

    assert market.deadlines("return_window", order)[1].promised_at == DUE
    assert market.sweep_all(at=DUE - SECOND) == 0
    assert market.sweep_all(at=DUE) == 1


def test_an_earlier_date_takes_no_day_of_a_letter_that_may_have_gone_out(market: Market, order: int) -> None:
    def take_then_die(address: str) -> None:
        raise KeyboardInterrupt

    market.run("send-reminders", at=market.deadline("return_window", order).remind_at)
    market.mailer.before_send = take_then_die
    with pytest.raises(KeyboardInterrupt):
        market.run("deliver-mail")
    market.update("orders", order, delivered_at=MONDAY - 3 * DAY)
    market.run("deliver-mail", at=market.clock.at + HOUR)  # another worker finds it untrue by now, and does not send it
    assert [row.state for row in market.notices()] == ["suppressed"]
    market.run("stamp")

    assert market.deadlines("return_window", order)[1].promised_at == DUE


def test_an_earlier_date_takes_no_day_of_a_letter_that_is_in_hand(market: Market, order: int) -> None:
    market.run("send-reminders", at=market.deadline("return_window", order).remind_at)
    market.sql("UPDATE clock_outbox SET leased_by = 'a worker'")  # which has found it true and is about to send it
    market.update("orders", order, delivered_at=MONDAY - 3 * DAY)
    market.run("stamp")

    assert market.deadlines("return_window", order)[1].promised_at == DUE


def test_a_date_corrected_to_and_fro_takes_no_day_that_a_notice_has_promised(market: Market, order: int) -> None:
    market.update("orders", order, delivered_at=MONDAY + 3 * DAY)
    market.run("stamp", at=MONDAY + 4 * DAY)
    reminded(market, order)
    market.update("orders", order, delivered_at=MONDAY)
    market.run("stamp")

    assert market.sweep_all(at=DUE + 3 * DAY - SECOND) == 0
    assert market.sweep_all(at=DUE + 3 * DAY) == 1


def test_a_delivery_date_taken_back_stops_the_window_until_it_is_written(market: Market, order: int) -> None:
    market.update("orders", order, delivered_at=None)
    market.run("stamp")
    assert market.states("return_window", order) == ["void"]
    assert market.sweep_all(at=DUE) == 0

    market.update("orders", order, delivered_at=DUE)
    market.run("stamp", at=DUE + HOUR)
    assert market.states("return_window", order) == ["void", "running"]


def test_a_deleted_order_is_void(market: Market, order: int) -> None:
    market.delete("orders", order)
    market.run("stamp")

    assert market.states("return_window", order) == ["void"]
    assert market.sweep_all(at=DUE) == 0


def test_the_estimate_starts_no_clock(market: Market) -> None:
    order = market.order(estimated_delivery_at=MONDAY - DAY, ordered_at=MONDAY - 5 * DAY)
    market.run("stamp")
    market.run("reconcile")

    assert market.deadlines("return_window", order) == []


def test_an_expired_order_that_is_set_back_to_open_is_reported_and_not_expired_again(market: Market, order: int) -> None:
    market.run("expire-return-windows", at=DUE)
    market.update("orders", order, return_status="open")
    market.run("stamp")
    market.run("reconcile")

    assert market.sweep_all(at=DUE + DAY) == 0
    assert list(market.open_problems("orders", order)) == ["reopened_after_end"]
    market.update("orders", order, return_status="expired")
    market.run("stamp")
    assert market.open_problems("orders", order) == {}


def test_days_end_in_the_zone_of_the_buyer(market: Market) -> None:
    buyer = market.insert("buyers", name="Kai", time_zone="Pacific/Auckland", email="kai@home.example")
    order = market.order(delivered_at=MONDAY, buyer_id=buyer)
    market.run("stamp")

    # 10:00 UTC is 23:00 in Auckland (UTC+13): the 17th ends there at 11:00 UTC.
    assert market.deadline("return_window", order).due_at == datetime(2026, 3, 17, 11, tzinfo=UTC)
