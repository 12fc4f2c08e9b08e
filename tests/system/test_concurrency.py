"""Many workers at the same moment: nothing early, nothing lost, nothing twice, and no worker trips over another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from returnclock.clock import FrozenClock
from returnclock.database import reading
from returnclock.tables.clock import deadlines, events, outbox
from tests.system.crowded_market import (
    DUE_KINDS,
    LETTERS_OF_ONE,
    act,
    broken_laws,
    counts,
    fill,
    open_market,
    present,
    wired,
)
from tests.system.processes import Worker, work_together

SWEEPS = ("escalate-disputes", "expire-return-windows", "flag-late-refunds")
ALL_TASKS = ("stamp", *SWEEPS, "send-reminders", "deliver-mail")


@contextmanager
def crew(number: int, url: str, data: Path, tasks: Sequence[str], **options: Any) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Worker(url, data, tasks, **options)) for _ in range(number)]


@pytest.mark.parametrize("processes", [2, 8])
def test_many_processes_fire_each_deadline_once(database_url: str, processes: int, tmp_path: Path) -> None:
    due = 300  # of each kind
    engine = open_market(database_url)
    fill(engine, due=due, not_due=due)
    log = tmp_path / "letters"
    with crew(processes, database_url, tmp_path, ALL_TASKS, batch_size=50, mail_log=str(log)) as workers:
        done = work_together(workers)
    assert [one["errors"] for one in done] == [[]] * processes
    assert all(one["finished"] for one in done)
    assert broken_laws(engine, due) == []
    letters = Counter(log.read_text().split())
    assert (len(letters), max(letters.values())) == (due * LETTERS_OF_ONE, 1)
    assert sum(one["changed"][task] for one in done for task in SWEEPS) == due * len(DUE_KINDS)
    engine.dispose()


def test_many_processes_queue_and_send_each_reminder_once(database_url: str, tmp_path: Path) -> None:
    rows, processes = 300, 4
    engine = open_market(database_url)
    fill(engine, due=0, not_due=rows)
    wiring = wired(database_url, tmp_path)
    # Stamped two hours ago, when the reminder that came one hour ago was still to come.
    act(wiring.at(FrozenClock(present(engine) - timedelta(hours=2))), "stamp")
    log = tmp_path / "letters"
    with crew(
        processes, database_url, tmp_path, ["send-reminders", "deliver-mail"], batch_size=20, mail_log=str(log)
    ) as workers:
        done = work_together(workers)
    assert [one["errors"] for one in done] == [[]] * processes
    with reading(engine) as connection:
        assert counts(connection, outbox.c.state, outbox.c.notice == "reminder") == {"sent": rows}
        assert counts(connection, events.c.event, events.c.event == "reminder:queued") == {"reminder:queued": rows}
    letters = Counter(log.read_text().split())
    assert (len(letters), max(letters.values())) == (rows, 1)
    assert sum(one["queued"]["send-reminders"] for one in done) == rows
    engine.dispose()


def test_many_stampers_stamp_each_row_once_though_it_was_noted_many_times(database_url: str, tmp_path: Path) -> None:
    rows, processes = 200, 4
    engine = open_market(database_url)
    fill(engine, due=rows)
    wiring = wired(database_url, tmp_path)
    with crew(processes, database_url, tmp_path, ["stamp", "reconcile"], batch_size=20) as workers:
        done = work_together(workers)
    assert [one["errors"] for one in done] == [[]] * processes
    with reading(engine) as connection:
        stamped = counts(connection, deadlines.c.kind, deadlines.c.state == "running")
        assert stamped == dict.fromkeys(DUE_KINDS, rows)
        assert counts(connection, events.c.event, events.c.id > 0) == {"deadline:stamped": rows * len(DUE_KINDS)}
    assert act(wiring, *SWEEPS, "stamp")["backlog"] == 0
    assert broken_laws(engine, rows) == []
    engine.dispose()


def test_processes_that_bring_the_schema_at_once_do_no_harm(database_url: str, tmp_path: Path) -> None:
    with crew(4, database_url, tmp_path, [], upgrade=True) as workers:
        done = work_together(workers)
    assert [one["errors"] for one in done] == [[]] * 4
    engine = open_market(database_url)
    fill(engine, due=1)
    act(wired(database_url, tmp_path), "stamp", *SWEEPS)
    assert broken_laws(engine, 1) == []
    engine.dispose()
