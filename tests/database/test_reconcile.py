"""Reconcile finds whatever no trigger told of: it is what makes a lost note, and a database without triggers, harmless."""

from __future__ import annotations

from returnclock import schema
from returnclock.tables.clock import changes
from returnclock.tables.market import MARKET_TABLES
from tests.database.market import DAY, HOUR, MONDAY, Market


def lose_notes(market: Market) -> None:
    market.sql("DELETE FROM clock_changes")


def found_in(market: Market) -> None:
    lose_notes(market)
    market.run("stamp")
    market.run("reconcile")


def test_a_new_row_is_found(market: Market) -> None:
    dispute, order, refund = market.dispute(), market.order(delivered_at=MONDAY), market.refund()
    found_in(market)

    assert market.states("seller_response", dispute) == ["running"]
    assert market.states("return_window", order) == ["running"]
    assert market.states("refund_completion", refund) == ["running"]


def test_an_answer_is_found(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp")
    market.update("disputes", dispute, status="refused")
    found_in(market)

    assert market.states("seller_response", dispute) == ["met"]


def test_a_reopened_row_is_found(market: Market) -> None:
    dispute = market.dispute(status="awaiting_buyer")
    market.update("disputes", dispute, status="awaiting_seller")
    market.run("stamp")
    for status in ("awaiting_buyer", "awaiting_seller"):
        market.update("disputes", dispute, status=status)
        market.clock.at += DAY
        found_in(market)

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.state, deadline.round, deadline.due_at) == ("running", 1, MONDAY + 7 * DAY)


def test_a_changed_start_is_found(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY + 3 * DAY)
    market.update("orders", order, delivered_at=MONDAY + DAY)
    found_in(market)

    assert market.states("return_window", order) == ["void", "running"]


def test_a_dispute_of_an_order_is_found(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp")
    market.dispute(order_id=order)
    found_in(market)

    assert market.states("return_window", order) == ["met"]


def test_a_deleted_row_is_found(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp")
    market.delete("disputes", dispute)
    found_in(market)

    assert market.states("seller_response", dispute) == ["void"]


def test_rows_that_are_in_order_are_left_alone(market: Market) -> None:
    market.dispute()
    market.order(delivered_at=MONDAY)
    fired = market.refund(status="clearing", inspected_at=MONDAY, processed_at=MONDAY)
    market.run("stamp")
    market.sweep_all(at=MONDAY + 30 * DAY)
    market.run("stamp")

    result = market.run("reconcile")

    assert (result["examined"], result["changed"], market.count(changes)) == (0, 0, 0)
    assert market.states("refund_completion", fired) == ["fired"]


def test_its_dry_run_counts_and_changes_nothing(market: Market) -> None:
    dispute = market.dispute()
    lose_notes(market)

    assert market.run("reconcile", dry_run=True)["examined"] == 1
    assert market.deadlines("seller_response", dispute) == []


def test_it_stamps_no_more_than_its_limit_and_the_rest_the_next_time(market: Market) -> None:
    disputes = [market.dispute() for _ in range(3)]
    lose_notes(market)
    market.run("reconcile", limit=2)
    assert sum(len(market.deadlines("seller_response", dispute)) for dispute in disputes) == 2

    market.run("reconcile")
    assert all(market.states("seller_response", dispute) == ["running"] for dispute in disputes)


def test_a_market_without_any_trigger_is_served_all_the_same(fresh_market: Market) -> None:
    market = fresh_market
    for table in MARKET_TABLES:
        for event in ("insert", "update", "delete"):
            on = f" ON {table}" if market.dialect == "postgresql" else ""
            market.sql(f"DROP TRIGGER clock_{table}_{event}{on}")
    assert schema.missing_triggers(market.wiring.engine) == list(MARKET_TABLES)

    silent, answered = market.dispute(), market.dispute()
    order = market.order(delivered_at=MONDAY)
    market.run("reconcile", at=MONDAY + HOUR)
    market.update("disputes", answered, status="accepted", seller_replied_at=MONDAY + DAY)
    market.dispute(order_id=order, status="closed")
    market.run("reconcile", at=MONDAY + DAY)
    market.sweep_all(at=MONDAY + 5 * DAY)

    assert market.count(changes) == 0
    assert market.states("seller_response", silent) == ["fired"]
    assert market.states("seller_response", answered) == ["met"]
    assert market.states("return_window", order) == ["met"]
