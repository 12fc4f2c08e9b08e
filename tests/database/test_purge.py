"""Purge moves settled history away, whole, and nothing that it moved or left ever fires again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from returnclock.purge import purge
from returnclock.tables.clock import archive, deadlines, events, outbox, runs
from returnclock.tables.types import written
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
LONG_AFTER = DUE + 400 * DAY + SECOND  # retention.settled is 400 days


@pytest.fixture
def escalated(market: Market) -> int:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    market.run("deliver-mail")
    market.run("stamp")
    return dispute


def kept(market: Market, subject_id: int) -> list[tuple[str, Any]]:
    return [(row.table_name, row.content) for row in market.rows(archive, subject_id=str(subject_id))]


def test_history_stays_until_the_end_of_its_retention(market: Market, escalated: int) -> None:
    market.run("purge", at=LONG_AFTER - 2 * SECOND)

    assert market.states("seller_response", escalated) == ["fired"]
    assert market.count(archive) == 0


def test_a_settled_deadline_moves_with_its_events_and_notices(market: Market, escalated: int) -> None:
    told = market.events("seller_response", escalated)
    assert market.run("purge", at=LONG_AFTER)["changed"] > 0

    assert [market.count(table) for table in (deadlines, events, outbox)] == [0, 0, 0]
    moved = kept(market, escalated)
    assert [content["event"] for table, content in moved if table == "clock_events"] == told
    assert [content["state"] for table, content in moved if table == "clock_outbox"] == ["sent", "sent"]
    (deadline,) = [content for table, content in moved if table == "clock_deadlines"]
    assert (deadline["state"], deadline["due_at"]) == ("fired", "2026-03-07 10:00:00.000000Z")


def test_every_column_of_what_is_moved_is_kept_as_it_was(market: Market, escalated: int) -> None:
    tables = (outbox, events, deadlines)
    before = {(table.name, row.id): dict(row._mapping) for table in tables for row in market.rows(table)}
    market.run("purge", at=LONG_AFTER)

    moved = {(row.table_name, row.row_id): row for row in market.rows(archive)}
    assert moved.keys() == before.keys()
    for key, row in moved.items():
        plain = {name: written(value) if isinstance(value, datetime) else value for name, value in before[key].items()}
        assert row.content == plain
        assert (row.kind, row.subject_id, row.archived_at) == ("seller_response", str(escalated), LONG_AFTER)


def test_a_deadline_whose_notice_is_not_sent_yet_stays_with_it(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    market.run("purge", at=LONG_AFTER)
    assert (market.states("seller_response", dispute), market.count(outbox)) == (["fired"], 2)

    market.run("deliver-mail")
    market.run("purge")
    assert [market.count(table) for table in (deadlines, events, outbox)] == [0, 0, 0]


def test_deadlines_that_must_stay_keep_none_behind_them_from_going(market: Market) -> None:
    """However many there are: they are the longest settled, and every batch would find them first."""
    stuck = [market.refund() for _ in range(4)]
    market.run("stamp", at=MONDAY)
    market.run("flag-late-refunds", at=MONDAY + 30 * DAY)
    done = market.refund(started_at=MONDAY + 40 * DAY)
    market.run("stamp", at=MONDAY + 40 * DAY)
    market.run("flag-late-refunds", at=MONDAY + 70 * DAY)
    for hour in range(24):
        market.run("deliver-mail", at=MONDAY + 71 * DAY + hour * HOUR)
    market.update("refunds", done, status="completed", completed_at=MONDAY + 72 * DAY)
    market.clock.at = LONG_AFTER + 100 * DAY
    market.run("stamp")
    wiring = market.wiring
    tally = purge(wiring.engine, wiring.clock, wiring.rulebook, wiring.settings.retention, batch_size=2)

    assert {kind: of.skipped for kind, of in tally.kinds.items() if of.skipped} == {
        "refund_completion": 4,
        "refund_inspection": 4,
        "refund_mediation": 4,
    }
    assert market.states("refund_completion", done) == []
    assert [market.states("refund_completion", refund) for refund in stuck] == [["fired"]] * 4


def test_running_deadlines_are_never_moved(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("purge", at=LONG_AFTER)

    assert market.states("seller_response", dispute) == ["running"]


def test_a_flag_whose_refund_never_ends_is_kept_and_not_flagged_again(market: Market) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    market.sweep_all(at=MONDAY + 30 * DAY)
    for task in ("purge", "reconcile", "stamp"):
        market.run(task, at=LONG_AFTER + 30 * DAY)

    assert market.states("refund_completion", refund) == ["fired"]
    assert market.sweep_all() == 0


def test_nothing_fires_again_after_its_history_was_moved(market: Market, escalated: int) -> None:
    market.run("purge", at=LONG_AFTER)
    market.update("disputes", escalated, reason="looked at again")
    for task in ("stamp", "reconcile"):
        market.run(task)

    assert market.sweep_all(at=LONG_AFTER + 30 * DAY) == 0
    assert market.row("disputes", escalated).escalated_at == DUE


def test_a_window_reopened_after_its_history_was_moved_does_not_expire_a_second_time(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.run("expire-return-windows", at=MONDAY + 20 * DAY)
    market.run("stamp")
    market.run("purge", at=LONG_AFTER + 20 * DAY)
    market.update("orders", order, return_status="open")
    for task in ("stamp", "reconcile"):
        market.run(task)

    assert market.sweep_all(at=LONG_AFTER + 60 * DAY) == 0
    assert list(market.open_problems("orders", order)) == ["reopened_after_end"]


def test_idle_runs_go_after_an_hour_and_all_others_after_a_month(market: Market) -> None:
    market.run("escalate-disputes", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY, trigger="cli", actor="maria")
    market.dispute()
    market.run("stamp", at=MONDAY)

    market.run("purge", at=MONDAY + HOUR)
    assert len(market.rows(runs, started_at=MONDAY)) == 3
    market.run("purge", at=MONDAY + HOUR + SECOND)
    assert [(row.task, row.actor) for row in market.rows(runs, started_at=MONDAY)] == [
        ("escalate-disputes", "maria"),
        ("stamp", "beat"),
    ]
    market.run("purge", at=MONDAY + 30 * DAY + SECOND)
    assert market.rows(runs, started_at=MONDAY) == []


def test_purge_moves_no_more_than_its_limit(market: Market) -> None:
    for _ in range(3):
        market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    market.run("deliver-mail")

    assert market.run("purge", at=LONG_AFTER, limit=2)["by_kind"]["seller_response"]["changed"] == 2
    assert market.count(deadlines) == 1


def test_a_dispute_reopened_after_its_history_was_moved_gets_its_full_time_again(market: Market, escalated: int) -> None:
    market.run("purge", at=LONG_AFTER)
    market.update("disputes", escalated, status="awaiting_seller")
    market.run("stamp")

    assert market.deadline("seller_response", escalated).due_at == LONG_AFTER + 5 * DAY
    assert market.sweep_all(at=LONG_AFTER + 5 * DAY - SECOND) == 0


def test_a_refund_that_runs_again_after_its_history_was_moved_is_not_flagged_twice(market: Market) -> None:
    refund = market.refund(status="clearing", inspected_at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.run("flag-late-refunds", at=MONDAY + 30 * DAY)
    market.run("deliver-mail", at=MONDAY + 31 * DAY)
    market.update("refunds", refund, status="completed", completed_at=MONDAY + 31 * DAY)
    market.run("stamp")
    market.run("purge", at=LONG_AFTER + 30 * DAY)
    assert market.deadlines("refund_completion", refund) == []
    market.update("refunds", refund, status="clearing", completed_at=None)
    market.run("stamp")

    assert market.sweep_all(at=LONG_AFTER + 60 * DAY) == 0


@pytest.mark.parametrize(("trigger", "longest"), [("beat", HOUR / 6), ("manual", HOUR / 6), ("cli", HOUR)])
def test_a_run_that_never_ended_is_closed_as_failed(market: Market, trigger: str, longest: timedelta) -> None:
    with market.transaction() as connection:
        row = {"task": "stamp", "trigger": trigger, "actor": "ada", "started_at": MONDAY, "state": "running"}
        connection.execute(insert(runs).values(row))
    market.run("purge", at=MONDAY + longest)
    assert [row.state for row in market.rows(runs, task="stamp")] == ["running"]

    market.run("purge", at=MONDAY + longest + SECOND)
    (lost,) = market.rows(runs, task="stamp")
    assert (lost.state, lost.finished_at) == ("failed", MONDAY + longest + SECOND)
    assert "never ended" in lost.error


@pytest.mark.parametrize("fired", [False, True])
def test_a_clock_that_runs_again_from_a_start_of_long_ago_gives_full_days(market: Market, fired: bool) -> None:
    dispute = market.dispute(awaiting_seller_since=MONDAY)
    market.run("stamp", at=MONDAY)
    if fired:
        market.run("escalate-disputes", at=DUE)
        market.run("deliver-mail")
    else:
        market.update("disputes", dispute, status="awaiting_buyer")
    market.run("stamp", at=DUE)
    market.run("purge", at=LONG_AFTER)
    assert market.deadlines("seller_response", dispute) == []

    market.update("disputes", dispute, status="awaiting_seller", escalated_at=None, escalated_by=None)
    market.run("stamp")
    assert market.deadline("seller_response", dispute).due_at == LONG_AFTER + 5 * DAY
    assert market.sweep_all(at=LONG_AFTER + 5 * DAY - SECOND) == 0
    assert market.sweep_all(at=LONG_AFTER + 5 * DAY) == 1
