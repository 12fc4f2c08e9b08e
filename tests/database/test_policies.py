"""Which policy holds for a row, and that a deadline keeps the one it was stamped with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from returnclock.policy import Policy
from returnclock.tables.clock import policies
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

OVERRIDES = """
[policy.seller_response]
period = "5 days"

[[policy.seller_response.override]]
when = { country = "DE", category = "food" }
period = "24 hours"

[[policy.seller_response.override]]
when = { country = "DE" }
period = "3 days"

[[policy.seller_response.override]]
when = { seller = 7001 }
period = "2 days"
"""


@pytest.mark.parametrize(
    ("order", "days"),
    [
        ({}, 5),
        ({"country": "DE"}, 3),
        ({"country": "DE", "category": "food"}, 1),
        ({"country": "FR", "category": "food"}, 5),
        ({"seller_id": 7001}, 2),
        ({"seller_id": 7001, "country": "DE"}, 3),  # the first that matches wins
    ],
    ids=["general", "country", "country and category", "half of the conditions", "seller", "two match"],
)
def test_the_first_override_that_matches_wins(market: Market, order: dict[str, object], days: int) -> None:
    market.configure(OVERRIDES)
    market.insert("sellers", id=7001)
    dispute = market.dispute(order_id=market.order(**order))
    market.run("stamp")

    assert market.deadline("seller_response", dispute).due_at == MONDAY + days * DAY


def test_business_days_are_those_of_the_order_s_country(market: Market) -> None:
    start = datetime(2026, 10, 1, 10, tzinfo=UTC)  # Saturday the 3rd is a German holiday, Monday the 12th one of the US
    refunds = {country: market.refund(started_at=start, order_id=market.order(country=country)) for country in ("DE", "US")}
    market.run("stamp", at=start)

    due = {country: market.deadline("refund_completion", refund).due_at for country, refund in refunds.items()}
    assert due == {"DE": datetime(2026, 10, 16, tzinfo=UTC), "US": datetime(2026, 10, 17, tzinfo=UTC)}


def test_rows_from_before_a_kind_took_effect_are_left_alone(market: Market) -> None:
    market.configure('[policy.seller_response]\neffective_from = "2026-03-02T10:00:00Z"\n')
    old, new = market.dispute(opened_at=MONDAY - SECOND), market.dispute(opened_at=MONDAY)
    for task in ("stamp", "reconcile"):
        market.run(task, at=MONDAY + HOUR)

    assert (market.states("seller_response", old), market.states("seller_response", new)) == ([], ["running"])
    assert market.sweep_all(at=MONDAY + 30 * DAY) == 1


def test_the_grace_parts_what_is_told_from_what_takes_effect(market: Market) -> None:
    market.configure('[policy.seller_response]\ngrace = "6 hours"\n')
    dispute = market.dispute()
    market.run("stamp")

    deadline = market.deadline("seller_response", dispute)
    assert (deadline.promised_at, deadline.due_at) == (MONDAY + 5 * DAY, MONDAY + 5 * DAY + 6 * HOUR)
    assert market.sweep_all(at=deadline.due_at - SECOND) == 0
    assert market.sweep_all(at=deadline.due_at) == 1


def test_changed_settings_do_not_move_open_deadlines(market: Market) -> None:
    old = market.dispute()
    market.run("stamp")
    market.configure('[policy.seller_response]\nperiod = "1 day"\n')
    new = market.dispute()
    market.update("disputes", old, order_id=market.order())
    for task in ("stamp", "reconcile"):
        market.run(task)

    assert market.deadline("seller_response", old).due_at == MONDAY + 5 * DAY
    assert market.deadline("seller_response", new).due_at == MONDAY + DAY


def test_a_window_that_runs_again_keeps_the_policy_that_was_promised(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp")
    promised = market.deadline("return_window", order).promised_at
    market.update("orders", order, return_status="requested")
    market.run("stamp")
    market.configure('[policy.return_window]\nperiod = "10 days"\n')
    market.update("orders", order, return_status="open")
    market.run("stamp", at=MONDAY + DAY)

    deadline = market.deadline("return_window", order)
    assert (deadline.state, deadline.promised_at) == ("running", promised)
    assert market.sweep_all(at=promised - SECOND) == 0


def test_every_deadline_names_the_policy_that_made_it(market: Market) -> None:
    first = market.dispute()
    market.run("stamp")
    market.configure('[policy.seller_response]\nperiod = "3 days"\n')
    others = [market.dispute(), market.dispute()]
    market.run("stamp")

    kept = {row.id: Policy.from_definition(row.definition) for row in market.rows(policies, kind="seller_response")}
    told = [str(kept[market.deadline("seller_response", dispute).policy_id].period) for dispute in (first, *others)]
    assert told == ["5 days", "3 days", "3 days"]
    assert len(kept) == 2
    assert {row.digest for row in market.rows(policies, kind="seller_response")} == {policy.digest for policy in kept.values()}


def test_a_policy_that_is_known_uses_up_no_id(market: Market) -> None:
    for _ in range(3):
        market.dispute(opened_at=MONDAY)
        market.run("stamp", at=MONDAY)
    market.refund(started_at=MONDAY)
    market.run("stamp", at=MONDAY)
    ids = sorted(row.id for row in market.rows(policies))
    assert ids == list(range(ids[0], ids[0] + len(ids)))
