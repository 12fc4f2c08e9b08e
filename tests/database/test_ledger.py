"""The ledger and the runs: every change has its event, with who did it and in which run."""

from __future__ import annotations

import pytest

from returnclock.errors import BadUsage, DeadlinesLate, UnknownTask
from returnclock.tables.clock import deadlines, events, runs
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
RESULT = [
    *("task", "run_id", "trigger", "at", "examined", "changed", "queued", "skipped"),
    *("problems", "backlog", "max_lateness_s", "seconds", "by_kind"),
]


def test_a_dispute_s_whole_story_is_in_the_ledger_in_order(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    for reminder in (DUE - 2 * DAY, DUE - DAY):
        market.run("send-reminders", at=reminder)
        market.run("deliver-mail")
    market.run("escalate-disputes", at=DUE)
    market.run("deliver-mail")

    told = market.rows(events, subject_id=str(dispute), kind="seller_response")
    assert [row.event for row in told] == [
        "deadline:stamped",
        *["reminder:queued", "notice:sent"] * 2,
        *["dispute:escalated", "notice:sent", "notice:sent"],
    ]
    assert [row.at for row in told] == sorted(row.at for row in told)
    assert [row.id for row in told] == sorted(row.id for row in told)
    (deadline,) = market.rows(deadlines)
    assert {(row.deadline_id, row.actor) for row in told} == {(deadline.id, "clock")}


def test_every_event_names_the_run_that_did_it(market: Market) -> None:
    dispute = market.dispute()
    done = {
        "deadline:stamped": market.run("stamp", at=MONDAY)["run_id"],
        "dispute:escalated": market.run("escalate-disputes", at=DUE, trigger="cli", actor="maria")["run_id"],
    }
    market.update("disputes", dispute, status="awaiting_seller")
    done["deadline:reopened"] = market.run("stamp")["run_id"]
    market.update("disputes", dispute, status="closed")
    done["deadline:voided"] = market.run("stamp", trigger="manual", actor="jo")["run_id"]

    told = market.rows(events)
    assert {row.event: row.run_id for row in told} == done
    assert {row.event: row.actor for row in told} == {
        "deadline:stamped": "clock",
        "dispute:escalated": "maria",
        "deadline:reopened": "clock",
        "deadline:voided": "jo",
    }


def test_a_stamp_tells_every_step_of_its_counting(market: Market) -> None:
    market.refund()
    market.run("stamp")

    (told,) = market.rows(events, kind="refund_completion")
    assert told.detail["due_at"] == "2026-03-17T00:00:00+00:00"
    assert told.detail["calendar"] == "US"
    assert any("not counted" in step for step in told.detail["steps"])


def test_a_run_that_did_something_is_kept_with_its_result(market: Market) -> None:
    market.dispute()
    result = market.run("stamp", trigger="cli", actor="maria")

    (run,) = market.rows(runs)
    assert (run.id, run.task, run.trigger, run.actor) == (result["run_id"], "stamp", "cli", "maria")
    assert (run.state, run.started_at, run.finished_at, run.idle, run.error) == ("succeeded", MONDAY, MONDAY, False, None)
    assert run.result == result
    assert run.host


def test_a_run_with_nothing_to_do_is_marked_idle(market: Market) -> None:
    market.run("escalate-disputes")

    (run,) = market.rows(runs)
    assert (run.state, run.idle) == ("succeeded", True)


def test_a_run_that_fails_is_kept_with_its_error_and_changes_nothing(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)

    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("the histogram broke down")

    monkeypatch.setattr("returnclock.sweep.histogram.record", break_down)  # the last that a batch does
    with pytest.raises(RuntimeError):
        market.run("escalate-disputes", at=DUE)

    run = market.rows(runs)[-1]
    assert (run.state, run.error, run.result) == ("failed", "RuntimeError: the histogram broke down", None)
    assert market.row("disputes", dispute).status == "awaiting_seller"
    assert market.states("seller_response", dispute) == ["running"]
    assert market.events("seller_response", dispute) == ["deadline:stamped"]


def test_the_result_of_every_task_has_exactly_the_documented_keys(market: Market) -> None:
    for task in market.wiring.tasks:
        assert list(market.run(task)) == RESULT


def test_the_result_counts_what_was_done(market: Market) -> None:
    for _ in range(3):
        market.dispute()
    market.run("stamp")

    result = market.run("escalate-disputes", at=DUE + HOUR, limit=2)

    counted = {"examined": 2, "changed": 2, "queued": 4, "max_lateness_s": 3600.0}
    assert {name: result[name] for name in counted} == counted
    assert (result["backlog"], result["at"]) == (1, (DUE + HOUR).isoformat())
    (of,) = result["by_kind"].values()
    late = of.pop("lateness_s")
    assert (list(result["by_kind"]), of) == (["seller_response"], counted)
    assert late == {"p50": pytest.approx(3600, rel=0.01), "p99": pytest.approx(3600, rel=0.01), "max": 3600.0}


def test_a_dry_run_tells_the_future_and_changes_nothing(market: Market) -> None:
    dispute = market.dispute()
    market.run("stamp")
    before = len(market.rows(runs))

    early = market.run("escalate-disputes", dry_run=True, at_time=DUE - SECOND)
    later = market.run("escalate-disputes", dry_run=True, at_time=DUE)

    assert (early["changed"], later["changed"], later["run_id"]) == (0, 1, None)
    assert market.row("disputes", dispute).status == "awaiting_seller"
    assert len(market.rows(runs)) == before


def test_nothing_may_really_happen_at_another_time(market: Market) -> None:
    with pytest.raises(BadUsage):
        market.run("escalate-disputes", at_time=DUE)


def test_an_unknown_task_is_refused_with_the_nearest_name(market: Market) -> None:
    with pytest.raises(UnknownTask, match="did you mean 'escalate-disputes'"):
        market.run("escalate-dispute")
    assert market.rows(runs) == []


def test_the_audit_raises_when_a_deadline_is_later_than_the_limit(market: Market) -> None:
    market.dispute()
    market.run("stamp")

    assert market.run("audit", at=DUE + 300 * SECOND)["backlog"] == 1
    with pytest.raises(DeadlinesLate, match="1 deadline"):
        market.run("audit", at=DUE + 301 * SECOND)
    market.run("escalate-disputes")
    assert market.run("audit")["backlog"] == 0
