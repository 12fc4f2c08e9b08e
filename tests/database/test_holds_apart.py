"""A clock stands still while a hold covers it and no longer: it runs between two holds, and until its row comes under one."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
MINUTE = 60 * SECOND


@pytest.fixture
def german(market: Market) -> int:
    dispute = market.dispute(order_id=market.order(country="DE"))
    market.run("stamp", at=MONDAY)
    return dispute


def promised(market: Market, dispute: int) -> datetime:
    moment: datetime = market.deadline("seller_response", dispute).promised_at
    return moment


def ticks(market: Market, first: int, last: int) -> None:
    for hours in range(first, last, 2):
        market.run("escalate-disputes", at=MONDAY + hours * HOUR)


def ordered(operator: Operator, *days: tuple[float, float]) -> None:
    for first, last in days:
        operator.hold(at=MONDAY + HOUR, starts=MONDAY + first * DAY, ends=MONDAY + last * DAY, country="DE")


# -- between two holds


@pytest.mark.parametrize("until", [96, 30, 2])  # hours since Monday; then no worker comes
def test_two_holds_apart_give_what_they_lasted_though_no_worker_ran_between(
    market: Market, operator: Operator, german: int, until: int
) -> None:
    ordered(operator, (1, 1.25), (4, 4.25))
    ticks(market, 2, until)
    market.run("escalate-disputes", at=MONDAY + 104 * HOUR)

    assert promised(market, german) == DUE + 2 * DAY  # for each six hours a day, so that no part of one is lost
    held, resumed = "deadline:held", "deadline:resumed"
    assert market.events("seller_response", german) == ["deadline:stamped", held, resumed, held, resumed]


def test_what_ran_out_between_two_holds_is_not_given_back_by_the_second(
    market: Market, operator: Operator, german: int
) -> None:
    ordered(operator, (1, 2), (8, 9))
    market.run("escalate-disputes", at=MONDAY + 9 * DAY + HOUR)

    assert promised(market, german) == DUE + DAY
    assert market.states("seller_response", german) == ["fired"]


def test_two_holds_of_which_a_worker_saw_the_first_end_only_under_the_second_are_apart(
    market: Market, operator: Operator, german: int
) -> None:
    ordered(operator, (1, 2), (3, 4))
    ticks(market, 2, 30)
    ticks(market, 74, 100)  # the first is found ended, and is done, while the second stands

    assert promised(market, german) == DUE + 2 * DAY


@pytest.mark.parametrize("comes", [True, False])
def test_a_hold_between_two_that_is_done_leaves_no_gap(market: Market, operator: Operator, german: int, comes: bool) -> None:
    ordered(operator, (1, 3), (2, 5), (4, 7))
    ticks(market, 2, 168 if comes else 30)
    market.run("escalate-disputes", at=MONDAY + 7 * DAY)

    assert promised(market, german) == DUE + 6 * DAY


def test_a_hold_whose_scope_the_row_has_left_since_leaves_no_gap(market: Market, operator: Operator) -> None:
    order = market.order(category="shoes", country="DE")
    dispute = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY)
    operator.hold(at=MONDAY + DAY, category="shoes")
    market.update("orders", order, category="books")
    operator.hold(at=MONDAY + 3 * DAY, country="DE")
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY)

    assert promised(market, dispute) == DUE + 3 * DAY


# -- what comes under a hold that stands


@pytest.mark.parametrize(("last_look", "given"), [(94, 1), (47, 3)])
def test_a_row_that_comes_into_a_hold_s_scope_is_held_from_the_last_look_that_did_not_find_it_there(
    market: Market, operator: Operator, last_look: int, given: int
) -> None:
    order = market.order(category="books")
    dispute = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY)
    operator.hold(at=MONDAY + HOUR, category="shoes")
    ticks(market, 2, last_look + 2)
    market.update("orders", order, category="shoes")  # on Friday, at the same time of day
    market.run("escalate-disputes", at=MONDAY + 4 * DAY + MINUTE)
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY + HOUR)

    assert promised(market, dispute) == DUE + given * DAY


def test_a_row_that_is_resumed_before_a_tick_has_found_it_is_held_no_longer(market: Market, operator: Operator) -> None:
    order = market.order(category="books")
    dispute = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY)
    operator.hold(at=MONDAY + HOUR, category="shoes")
    ticks(market, 2, 96)
    market.update("orders", order, category="shoes")
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY + HOUR)

    assert promised(market, dispute) == DUE + DAY


def test_what_was_stamped_under_a_hold_only_after_a_look_is_held_from_the_hold_on(market: Market, operator: Operator) -> None:
    operator.hold(at=MONDAY, category="shoes")
    dispute = market.dispute(order_id=market.order(category="shoes"), opened_at=MONDAY + HOUR)
    market.run("escalate-disputes", at=MONDAY + 2 * DAY)
    market.run("stamp")
    market.run("escalate-disputes", at=MONDAY + 2 * DAY + MINUTE)
    operator.resume("disputes", dispute, at=MONDAY + 3 * DAY + HOUR)

    assert promised(market, dispute) == DUE + 3 * DAY + HOUR


def test_what_a_hold_covers_while_its_kind_is_off_is_held_from_the_hold_on(market: Market, operator: Operator) -> None:
    on = '[policy.return_shipment]\nperiod = "14 days"\n'
    market.configure(on)
    dispute = market.dispute(order_id=market.order(category="shoes"), status="accepted", accepted_at=MONDAY)
    market.run("stamp", at=MONDAY)
    before = market.deadline("return_shipment", dispute)
    market.configure("")
    operator.hold(at=MONDAY + DAY, category="shoes")
    market.run("escalate-disputes", at=MONDAY + 3 * DAY)
    market.configure(on)
    market.run("escalate-disputes", at=MONDAY + 3 * DAY + MINUTE)
    operator.resume("disputes", dispute, at=MONDAY + 4 * DAY)

    assert market.deadline("return_shipment", dispute).promised_at == before.promised_at + 3 * DAY
