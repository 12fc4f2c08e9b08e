"""Refunds: a flag is set once, taken back when the refund is cancelled, and each stage has its own time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

LATE = datetime(2026, 3, 17, tzinfo=UTC)


@pytest.fixture
def refund(market: Market) -> int:
    refund = market.refund(amount=12.5, currency="EUR")
    market.run("stamp", at=MONDAY)
    return refund


@pytest.fixture
def flagged(market: Market, refund: int) -> int:
    market.run("flag-late-refunds", at=LATE)
    market.run("stamp")
    assert market.row("refunds", refund).late_since == LATE
    return refund


@pytest.mark.parametrize("ended", [{"status": "completed"}, {"status": "cancelled"}, {"completed_at": LATE}])
def test_a_refund_that_ended_before_the_sweep_is_never_flagged(market: Market, refund: int, ended: dict[str, object]) -> None:
    market.update("refunds", refund, **ended)

    market.run("flag-late-refunds", at=LATE + DAY)

    assert market.row("refunds", refund).late_since is None
    assert market.row("refunds", refund).late_stage is None


def test_a_late_refund_that_completes_keeps_its_flag(market: Market, flagged: int) -> None:
    market.update("refunds", flagged, status="completed", completed_at=LATE + DAY)
    market.run("stamp", at=LATE + DAY)

    assert market.row("refunds", flagged).late_since == LATE
    assert market.states("refund_completion", flagged) == ["fired"]


def test_the_flag_of_a_cancelled_refund_is_withdrawn(market: Market, flagged: int) -> None:
    market.update("refunds", flagged, status="cancelled")
    market.run("stamp", at=LATE + DAY)

    row = market.row("refunds", flagged)
    assert (row.late_since, row.late_stage) == (None, None)
    assert market.states("refund_completion", flagged) == ["void"]
    assert "refund:late_withdrawn" in market.events("refund_completion", flagged)
    assert "refund:stage_late_withdrawn" in market.events("refund_inspection", flagged)


def test_a_refund_that_is_no_longer_cancelled_is_flagged_again(market: Market, flagged: int) -> None:
    market.update("refunds", flagged, status="cancelled")
    market.run("stamp", at=LATE + DAY)
    market.update("refunds", flagged, status="clearing")
    market.run("stamp", at=LATE + 2 * DAY)

    market.run("flag-late-refunds", at=LATE + 2 * DAY)

    assert market.row("refunds", flagged).late_since == LATE
    assert market.states("refund_completion", flagged) == ["fired"]


def test_a_cancelled_refund_is_not_offered_mediation_a_second_time(market: Market, flagged: int) -> None:
    assert market.states("refund_mediation", flagged) == ["fired"]
    market.update("refunds", flagged, status="cancelled")
    market.run("stamp")
    market.update("refunds", flagged, status="inspecting")
    market.run("stamp")
    market.sweep_all(at=LATE + DAY)

    assert market.events("refund_mediation", flagged).count("refund:mediation_offered") == 1


def test_each_stage_runs_from_the_end_of_the_one_before(market: Market, refund: int) -> None:
    market.update("refunds", refund, status="processing", inspected_at=MONDAY + DAY)
    market.run("stamp", at=MONDAY + DAY)
    assert market.states("refund_inspection", refund) == ["met"]
    processing = market.deadline("refund_processing", refund)
    assert (processing.starts_at, processing.due_at) == (MONDAY + DAY, datetime(2026, 3, 13, tzinfo=UTC))

    market.update("refunds", refund, status="clearing", processed_at=MONDAY + 2 * DAY)
    market.run("stamp", at=MONDAY + 2 * DAY)
    assert market.states("refund_processing", refund) == ["met"]
    assert market.deadline("refund_clearing", refund).due_at == datetime(2026, 3, 10, tzinfo=UTC)


def test_a_stage_that_moved_on_before_the_sweep_is_not_flagged(market: Market, refund: int) -> None:
    market.update("refunds", refund, status="processing", inspected_at=MONDAY + 10 * DAY)

    market.run("flag-late-refunds", at=MONDAY + 10 * DAY)

    assert market.row("refunds", refund).late_stage is None


def test_the_latest_stage_that_overran_is_the_one_that_shows(market: Market, refund: int) -> None:
    market.run("flag-late-refunds", at=MONDAY + 5 * DAY)
    assert market.row("refunds", refund).late_stage == "inspecting"
    market.update("refunds", refund, status="processing", inspected_at=MONDAY + 5 * DAY)
    market.run("stamp")
    market.run("flag-late-refunds", at=MONDAY + 20 * DAY)

    assert market.row("refunds", refund).late_stage == "processing"


def test_a_stage_without_its_date_is_reported_until_the_date_is_written(market: Market, refund: int) -> None:
    market.update("refunds", refund, status="processing")
    market.run("stamp")

    problem = market.open_problems("refunds", refund)["missing_date"]
    assert "refunds.inspected_at is empty" in problem
    assert market.states("refund_completion", refund) == ["running"]

    market.update("refunds", refund, inspected_at=MONDAY + HOUR)
    market.run("stamp", at=MONDAY + DAY)
    assert market.open_problems("refunds", refund) == {}
    assert market.states("refund_processing", refund) == ["running"]


def test_a_refund_flagged_once_is_told_once(market: Market, flagged: int) -> None:
    for _ in range(2):
        market.run("flag-late-refunds", at=LATE + 9 * DAY)
        market.run("reconcile")

    assert market.events("refund_completion", flagged).count("refund:late") == 1
    assert [(row.party, row.notice) for row in market.notices(kind="refund_completion")] == [
        ("platform", "outcome"),
        ("buyer", "outcome"),
    ]


def test_a_start_corrected_after_the_flag_is_flagged_by_its_new_date(market: Market, flagged: int) -> None:
    market.update("refunds", flagged, started_at=MONDAY + DAY)
    market.run("stamp", at=LATE + HOUR)

    market.run("flag-late-refunds", at=LATE + DAY - SECOND)
    assert market.states("refund_completion", flagged) == ["fired", "running"]
    market.run("flag-late-refunds", at=LATE + DAY)
    assert market.row("refunds", flagged).late_since == LATE + DAY
