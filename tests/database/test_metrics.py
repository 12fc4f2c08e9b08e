"""What Prometheus is told, at each of the three databases: true at the moment of the scrape, and cheap at any size."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert, text, update

from returnclock import telemetry, vitals
from returnclock.clock import FrozenClock
from returnclock.database import reading, writing
from returnclock.metrics import DatabaseCollector, Exposition
from returnclock.tables.clock import deadlines, outbox, runs
from returnclock.tables.interventions import pauses
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market
from tests.servers.programs import program

KIND = {"kind": "seller_response"}


def scraped(market: Market) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    written = Exposition(market.wiring).text().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(written)
        for sample in family.samples
    }


def value(market: Market, metric: str, **labels: str) -> float:
    return scraped(market)[f"returnclock_{metric}", frozenset(labels.items())]


def change(market: Market, statement: Any) -> None:
    with writing(market.engine) as connection:
        connection.execute(statement)


def test_a_deadline_counts_as_due_from_its_very_moment_and_as_soon_until_then(market: Market) -> None:
    dispute = market.dispute(MONDAY)
    market.run("stamp")
    due_at = market.deadline("seller_response", dispute).due_at

    for moment, due, soon, oldest in (
        (due_at - SECOND, 0, 1, 0),
        (due_at, 1, 0, 0),
        (due_at + SECOND, 1, 0, 1),
    ):
        market.clock.at = moment
        assert value(market, "deadlines_due", **KIND) == due
        assert value(market, "deadlines_due_soon", **KIND) == soon
        assert value(market, "oldest_overdue_seconds", **KIND) == oldest
    market.run("escalate-disputes")
    assert value(market, "deadlines_due", **KIND) == 0


def test_a_dispute_that_was_answered_is_not_counted_as_due_before_it_is_settled(market: Market) -> None:
    dispute = market.dispute(MONDAY)
    market.run("stamp")
    market.update("disputes", dispute, status="awaiting_buyer")
    market.clock.at = MONDAY + 6 * DAY
    assert value(market, "deadlines_due", **KIND) == 0
    assert value(market, "changes_waiting") == 1


def test_counters_of_what_fired_outlive_the_purge(market: Market) -> None:
    for _ in range(3):
        market.dispute(MONDAY)
    market.run("stamp")
    market.run("escalate-disputes", at=MONDAY + 5 * DAY + 40 * SECOND)
    labels = KIND | {"outcome": "dispute:escalated"}
    assert value(market, "deadlines_fired_total", **labels) == 3

    market.run("purge", at=MONDAY + 500 * DAY)
    assert market.deadlines("seller_response", 1) == []
    assert value(market, "deadlines_fired_total", **labels) == 3
    assert value(market, "fire_lag_seconds_count", **KIND) == 3
    assert value(market, "fire_lag_seconds_bucket", **KIND, le="30.0") == 0
    assert value(market, "fire_lag_seconds_bucket", **KIND, le="60.0") == 3
    assert value(market, "fire_lag_seconds_sum", **KIND) == pytest.approx(120, abs=1)


def test_a_task_tells_its_last_success_its_interval_and_whether_it_fails(market: Market) -> None:
    before = {"task": "reconcile"}
    assert value(market, "task_last_success_timestamp_seconds", **before) == 0
    market.run("reconcile")
    assert value(market, "task_last_success_timestamp_seconds", **before) == MONDAY.timestamp()
    assert value(market, "task_interval_seconds", **before) == 300
    assert value(market, "task_failing", **before) == 0

    failed = {"task": "reconcile", "trigger": "beat", "actor": "beat", "state": "failed", "error": "no"}
    change(market, insert(runs).values(failed | {"started_at": MONDAY + HOUR, "finished_at": MONDAY + HOUR}))
    assert value(market, "task_failing", **before) == 1
    assert value(market, "task_last_success_timestamp_seconds", **before) == MONDAY.timestamp()
    running = {"task": "reconcile", "trigger": "beat", "actor": "beat", "state": "running"}
    change(market, insert(runs).values(running | {"started_at": MONDAY + 2 * HOUR}))
    assert value(market, "task_failing", **before) == 1, "a run that has not ended says nothing yet"


def test_a_deadline_is_unwarned_within_a_day_of_its_end_unless_a_warning_was_delivered(market: Market) -> None:
    warned, silent = market.dispute(MONDAY), market.dispute(MONDAY)
    market.run("stamp")
    market.run("send-reminders", at=MONDAY + 3 * DAY)
    market.run("deliver-mail")
    identity = market.deadline("seller_response", silent).id
    change(market, update(outbox).where(outbox.c.deadline_id == identity).values(state="dead"))

    for moment, number in ((MONDAY + 4 * DAY - SECOND, 0), (MONDAY + 4 * DAY, 1)):
        market.clock.at = moment
        assert value(market, "warnings_undelivered", **KIND) == number
    assert value(market, "outbox_dead") == 1
    market.update("disputes", warned, status="closed")
    assert value(market, "warnings_undelivered", **KIND) == 1


def test_notices_that_wait_are_told_by_what_they_are_with_the_age_of_the_oldest(market: Market) -> None:
    market.dispute(MONDAY)
    market.run("stamp")
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)
    market.clock.at = MONDAY + 5 * DAY + HOUR
    assert value(market, "outbox_pending", notice="outcome") == 2
    assert value(market, "outbox_oldest_pending_seconds", notice="outcome") == 3600
    assert value(market, "outbox_untried_seconds") == 3600
    assert value(market, "outbox_pending", notice="digest") == 0
    market.run("deliver-mail")
    assert value(market, "outbox_pending", notice="outcome") == 0
    assert value(market, "outbox_untried_seconds") == 0


def test_what_is_held_paused_or_wrong_is_told(market: Market) -> None:
    dispute = market.dispute(MONDAY)
    market.order(country="XZ", delivered_at=MONDAY)
    market.run("stamp")
    chosen = deadlines.c.id == market.deadline("seller_response", dispute).id
    change(market, update(deadlines).where(chosen).values(state="held"))
    pause = {"what": "kind", "name": "return_window", "reason": "a wrong holiday", "actor": "maria", "paused_at": MONDAY}
    change(market, insert(pauses).values(pause))
    change(market, insert(pauses).values(pause | {"name": "refund_completion", "until": MONDAY + HOUR}))
    change(market, insert(pauses).values(pause | {"name": "refund_mediation", "ended_at": MONDAY, "ended_by": "maria"}))

    market.clock.at = MONDAY + HOUR
    found = scraped(market)
    assert found["returnclock_deadlines_held", frozenset(KIND.items())] == 1
    assert found["returnclock_problems", frozenset({("code", "unknown_country")})] == 1
    paused = {labels: age for (name, labels), age in found.items() if name == "returnclock_paused_seconds"}
    assert paused == {frozenset({("what", "kind"), ("name", "return_window")}): 3600}
    assert found["returnclock_pause_limit_seconds", frozenset()] == 3600


def test_a_kind_may_be_late_later_than_the_others(market: Market) -> None:
    market.configure('late_limit = "2 minutes"\n[policy.return_window]\nlate_limit = "1 hour"\n')
    assert value(market, "late_limit_seconds", kind="return_window") == 3600
    assert value(market, "late_limit_seconds", **KIND) == 120


def test_counts_stop_at_the_cap(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "CAP", 3)
    order = market.order()
    for _ in range(5):
        market.dispute(MONDAY, order_id=order)
    assert value(market, "changes_waiting") == 3
    market.run("stamp")
    market.clock.at = MONDAY + 6 * DAY
    assert value(market, "deadlines_due", **KIND) == 3
    assert value(market, "oldest_overdue_seconds", **KIND) == DAY.total_seconds()


def test_what_prometheus_reads_follows_its_conventions(sqlite_market: Market) -> None:
    sqlite_market.run("stamp")
    written = Exposition(sqlite_market.wiring).text()
    checked = subprocess.run(
        [program("promtool", "promtool"), "check", "metrics"], input=written, capture_output=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stderr.decode() + checked.stdout.decode()) == (0, "")
    told = {family.name: family for family in text_string_to_metric_families(written.decode())}
    declared = {metric.name: metric for metric in vars(telemetry).values() if isinstance(metric, telemetry.Metric)}
    assert told.keys() == declared.keys()
    for name, family in told.items():
        assert family.documentation == declared[name].help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(declared[name].labels), name


def test_no_series_comes_with_more_orders_or_people(sqlite_market: Market) -> None:
    def series() -> set[Any]:
        return {key for key in scraped(sqlite_market) if "problems" not in key[0]}

    sqlite_market.dispute(MONDAY)
    for task in ("stamp", "escalate-disputes", "flag-late-refunds", "deliver-mail"):
        sqlite_market.run(task, at=MONDAY + 6 * DAY)
    few = series()
    for _ in range(20):
        sqlite_market.dispute(MONDAY)
        sqlite_market.refund(MONDAY)
    for task in ("stamp", "escalate-disputes", "flag-late-refunds", "deliver-mail"):
        sqlite_market.run(task, at=MONDAY + 40 * DAY)
    assert series() == few


@pytest.fixture
def asked(sqlite_market: Market) -> Iterator[list[tuple[str, Any]]]:
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    event.listen(sqlite_market.engine, "before_cursor_execute", note)
    yield statements
    event.remove(sqlite_market.engine, "before_cursor_execute", note)


def test_no_question_of_a_scrape_reads_a_whole_table(sqlite_market: Market, asked: list[tuple[str, Any]]) -> None:
    Exposition(sqlite_market.wiring).text()
    questions = [question for question in asked if "clock_" in question[0]]
    assert len(questions) > 30
    grows = "clock_deadlines|clock_outbox|clock_runs|clock_events|clock_archive|clock_problems|disputes|orders|refunds"
    with sqlite_market.engine.connect() as connection:
        for statement, parameters in questions:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            for step in plan:
                assert not re.fullmatch(rf"SCAN ({grows})", step[-1]), f"{statement}\n{plan}"


def test_one_part_that_fails_is_named_and_leaves_the_others_whole(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: Any) -> int:
        return int(connection.execute(text("SELECT nothing FROM nowhere")).scalar_one())

    monkeypatch.setattr(vitals, "dead_notices", broken)
    assert value(market, "scrape_success", part="outbox") == 0
    assert value(market, "scrape_success", part="problems") == 1
    assert value(market, "up") == 1


def test_a_question_that_takes_too_long_is_cut_off_and_the_connection_stays_good(market: Market) -> None:
    endless = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(20)",
        "mariadb": f"SELECT count(*) FROM {', '.join(f'information_schema.collations AS c{n}' for n in range(4))}",
    }[market.engine.dialect.name]
    with (
        pytest.raises(Exception, match=r"(?i)interrupt|timeout|max_statement_time|canceling"),
        reading(market.engine, within_s=0.2) as connection,
    ):
        connection.execute(text(endless)).all()
    with reading(market.engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
        if market.engine.dialect.name == "mariadb":
            assert connection.execute(text("SELECT @@max_statement_time")).scalar_one() == 150


def test_scrapes_that_come_together_share_one_look_at_the_database(sqlite_market: Market, asked: list[tuple[str, Any]]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    collector = DatabaseCollector(sqlite_market.wiring)
    list(collector.collect())
    alone = len(asked)
    collector = DatabaseCollector(sqlite_market.wiring)
    asked.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: list(collector.collect()), range(20)))
    assert len(asked) == alone
    assert all(len(answer) == len(answers[0]) for answer in answers)


def test_a_database_that_is_silent_costs_no_more_than_the_patience(sqlite_market: Market) -> None:
    class Stuck(FrozenClock):
        def now(self, connection: Any) -> Any:
            from time import sleep

            sleep(3)
            return self.at

    wiring = replace(sqlite_market.wiring, clock=Stuck(MONDAY + timedelta()))
    (build, up) = DatabaseCollector(wiring, patience_s=0.1).collect()
    assert (build.name, up.name, up.samples[0].value) == ("returnclock_build_info", "returnclock_up", 0)
