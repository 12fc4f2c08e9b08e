"""Each kind of deadline fires at its moment: not a second before, and at the moment itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.database.market import DAY, MONDAY, SECOND, Market


@dataclass(frozen=True)
class Case:
    """A row whose deadline is due at ``due``, and what firing writes into it."""

    kind: str
    task: str
    table: str
    insert: Callable[[Market], int]
    due: datetime
    written: Callable[[datetime], dict[str, Any]]
    toml: str = ""


def midnight(day: int) -> datetime:
    return datetime(2026, 3, day, tzinfo=UTC)


CASES = [
    Case(
        "seller_response",
        "escalate-disputes",
        "disputes",
        lambda market: market.dispute(),
        MONDAY + 5 * DAY,
        lambda now: {"status": "escalated", "escalated_at": now, "escalated_by": "clock"},
    ),
    Case(
        "return_window",
        "expire-return-windows",
        "orders",
        lambda market: market.order(delivered_at=MONDAY),
        midnight(18),  # the 17th is the last day
        lambda now: {"return_status": "expired", "return_expired_at": now},
    ),
    Case(
        "refund_completion",
        "flag-late-refunds",
        "refunds",
        lambda market: market.refund(inspected_at=MONDAY, status="clearing"),
        midnight(17),  # Monday the 16th is the tenth business day
        lambda now: {"late_since": midnight(17)},
    ),
    Case(
        "refund_inspection",
        "flag-late-refunds",
        "refunds",
        lambda market: market.refund(),
        midnight(6),  # Thursday the 5th is the third business day
        lambda now: {"late_stage": "inspecting", "late_since": None},
    ),
    Case(
        "refund_processing",
        "flag-late-refunds",
        "refunds",
        lambda market: market.refund(status="processing", inspected_at=MONDAY),
        midnight(12),  # Wednesday the 11th is the seventh
        lambda now: {"late_stage": "processing", "late_since": None},
    ),
    Case(
        "refund_clearing",
        "flag-late-refunds",
        "refunds",
        lambda market: market.refund(status="clearing", inspected_at=MONDAY, processed_at=MONDAY),
        midnight(6),
        lambda now: {"late_stage": "clearing", "late_since": None},
    ),
    Case(
        "refund_mediation",
        "flag-late-refunds",
        "refunds",
        lambda market: market.refund(inspected_at=MONDAY, status="clearing"),
        midnight(17),
        lambda now: {"status": "clearing"},
    ),
    Case(
        "return_shipment",
        "close-stale-returns",
        "disputes",
        lambda market: market.dispute(status="accepted", accepted_at=MONDAY),
        MONDAY + 14 * DAY,
        lambda now: {"status": "closed"},
        toml='[policy.return_shipment]\nperiod = "14 days"\n',
    ),
]
each_kind = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)


def stamped(market: Market, case: Case) -> int:
    market.configure(case.toml)
    subject_id = case.insert(market)
    market.run("stamp", at=MONDAY)
    assert market.deadline(case.kind, subject_id).due_at == case.due
    return subject_id


@each_kind
def test_nothing_fires_a_second_before_it_is_due(market: Market, case: Case) -> None:
    subject_id = stamped(market, case)
    before = market.row(case.table, subject_id)

    result = market.run(case.task, at=case.due - SECOND)

    assert case.kind not in result["by_kind"]
    assert market.deadline(case.kind, subject_id).state == "running"
    assert market.row(case.table, subject_id) == before


@each_kind
@pytest.mark.parametrize("after", [0 * SECOND, SECOND], ids=["at", "after"])
def test_a_deadline_fires_once_at_its_moment_and_after(market: Market, case: Case, after: Any) -> None:
    subject_id = stamped(market, case)

    fired = market.run(case.task, at=case.due + after)["by_kind"][case.kind]
    again = market.run(case.task)["by_kind"]

    assert fired["changed"] == 1
    assert case.kind not in again
    deadline = market.deadline(case.kind, subject_id)
    assert (deadline.state, deadline.fired_at, deadline.settled_at) == ("fired", case.due + after, case.due + after)
    row = market.row(case.table, subject_id)
    written = case.written(case.due + after)
    assert {name: getattr(row, name) for name in written} == written


def test_unsent_returns_are_left_alone_until_a_period_is_set(market: Market) -> None:
    dispute = market.dispute(status="accepted", accepted_at=MONDAY)
    market.run("stamp")

    assert market.sweep_all(at=MONDAY + 400 * DAY) == 0
    assert market.deadlines("return_shipment", dispute) == []
    assert market.row("disputes", dispute).status == "accepted"


@pytest.mark.parametrize("shipped", [{"return_shipped_at": MONDAY}, {"kind": "refund_only"}], ids=["shipped", "no goods"])
def test_a_return_that_is_sent_or_not_awaited_is_never_closed(market: Market, shipped: dict[str, Any]) -> None:
    market.configure('[policy.return_shipment]\nperiod = "14 days"\n')
    dispute = market.dispute(status="accepted", accepted_at=MONDAY, **shipped)
    market.run("stamp")

    assert market.sweep_all(at=MONDAY + 15 * DAY) == 0
    assert market.row("disputes", dispute).status == "accepted"
