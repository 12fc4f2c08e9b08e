"""Workers that are killed, and servers that go away: nothing is half done, and afterwards all is done once."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError

from returnclock import stamp
from returnclock.clock import FrozenClock
from returnclock.database import reading
from returnclock.errors import DatabaseUnreachable
from returnclock.round import MOST_IN_HAND
from returnclock.settings import MailSettings
from returnclock.tables.clock import changes, deadlines, events, outbox, problems
from returnclock.tables.market import disputes, orders, refunds
from tests.servers import PostgresServer, SMTPSink
from tests.system.crowded_market import act, broken_laws, counts, fill, open_market, present, wired
from tests.system.processes import STOPPED, Worker, work_together

SWEEPS = ("escalate-disputes", "expire-return-windows", "flag-late-refunds")


def picture(engine: Engine) -> dict[str, Any]:
    """All that a batch of stamp or sweep may change."""
    with reading(engine) as connection:
        return {
            "states": counts(connection, deadlines.c.state, deadlines.c.id > 0),
            "events": counts(connection, events.c.event, events.c.id > 0),
            "notices": counts(connection, outbox.c.state, outbox.c.id > 0),
            "changes": connection.execute(select(func.count()).select_from(changes)).scalar_one(),
            "disputes": counts(connection, disputes.c.status, disputes.c.id > 0),
            "orders": counts(connection, orders.c.return_status, orders.c.id > 0),
            "refunds": counts(connection, refunds.c.late_stage, refunds.c.id > 0),
        }


@pytest.mark.parametrize(
    ("task", "statement"),
    [
        ("stamp", "INSERT INTO clock_events"),
        ("stamp", "DELETE (clock_changes )?FROM"),
        ("escalate-disputes", "UPDATE disputes"),
        ("escalate-disputes", "UPDATE clock_deadlines"),
        ("expire-return-windows", r"INSERT (IGNORE )?INTO clock_outbox"),
    ],
)
def test_worker_killed_in_the_middle_of_a_batch_leaves_nothing_half_done(
    database_url: str, tmp_path: Path, task: str, statement: str
) -> None:
    due = 20
    engine = open_market(database_url)
    fill(engine, due=due)
    wiring = wired(database_url, tmp_path)
    if task != "stamp":
        act(wiring, "stamp")
    before = picture(engine)
    with Worker(database_url, tmp_path, [task], stop_at=statement) as worker:
        worker.go()
        worker.expect(STOPPED)
        worker.kill()
    assert picture(engine) == before
    act(wiring, "stamp", *SWEEPS)
    assert broken_laws(engine, due) == []
    engine.dispose()


def test_letters_in_hand_when_the_worker_died_are_few_and_sent_again_as_the_same_and_told_as_ambiguous(
    database_url: str, tmp_path: Path, smtp: SMTPSink
) -> None:
    due, stopped_after = 50, 70
    engine = open_market(database_url)
    fill(engine, due=due)
    wiring = wired(database_url, tmp_path)
    act(wiring, "stamp", "escalate-disputes")
    with Worker(database_url, tmp_path, ["deliver-mail"], smtp_url=smtp.url, stop_after_letters=stopped_after) as worker:
        worker.go()
        worker.expect(STOPPED)
        worker.kill()
    smtp.stop()  # so that it takes no more of what the killed worker had said
    smtp.start()
    taken = len(smtp.messages)
    assert stopped_after <= taken < stopped_after + MailSettings().connections
    with Worker(database_url, tmp_path, ["deliver-mail"], smtp_url=smtp.url, once=True) as second:
        assert work_together([second])[0]["errors"] == []
    assert len(smtp.messages) == taken, "a lease that had not ended was taken away"
    later = FrozenClock(present(engine) + timedelta(minutes=6))
    sending = wired(database_url, tmp_path / "folder")
    act(sending.at(later), "deliver-mail")
    with reading(engine) as connection:
        assert counts(connection, outbox.c.state, outbox.c.id > 0) == {"sent": due * 2}
        told = counts(connection, events.c.event, events.c.event.like("notice:%"))
        unsure = set(connection.execute(select(outbox.c.message_id).where(outbox.c.error.is_not(None))).scalars())
        assert told == {"notice:sent": due * 2, "notice:ambiguous": len(unsure)}
    assert 1 <= len(unsure) <= MOST_IN_HAND
    first = {message.parsed["Message-ID"] for message in smtp.messages}
    again = {path.stem for path in (tmp_path / "folder" / "mail").glob("*.eml")}
    assert {f"<{name}>" for name in again} & first <= unsure, "sent twice, and nobody is told"
    assert len(first) == taken and len({f"<{name}>" for name in again} | first) == due * 2
    engine.dispose()


class Disturbance(threading.Thread):
    """Does something again and again, at random moments, until it is told to stop."""

    def __init__(self, happening: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.happening, self.over, self.times = happening, threading.Event(), 0
        self.start()

    def run(self) -> None:
        while not self.over.wait(random.uniform(0.02, 0.12)):
            self.happening()
            self.times += 1

    def stop(self) -> None:
        self.over.set()
        self.join()


def _terminate_one_backend(url: str) -> Callable[[], None]:
    chosen = (
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = 'returnclock'"
        " AND datname = current_database() ORDER BY random() LIMIT 1) AS unlucky"
    )
    engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def terminate() -> None:
        with engine.connect() as connection:
            connection.execute(text(chosen))

    return terminate


def _kill_one_connection(url: str) -> Callable[[], None]:
    chosen = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id() ORDER BY rand()"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def kill() -> None:
        with engine.connect() as connection:
            unlucky = connection.execute(text(chosen)).scalars().first()
            if unlucky is not None:
                try:
                    connection.execute(text(f"KILL {unlucky}"))
                except DBAPIError:
                    return  # it has just gone by itself

    return kill


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_connections_cut_at_random_change_nothing_in_the_end(
    request: pytest.FixtureRequest, tmp_path: Path, server: str
) -> None:
    due = 200
    url = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[server])
    engine = open_market(url)
    fill(engine, due=due)
    engine.dispose()
    cut = {"postgresql": _terminate_one_backend, "mariadb": _kill_one_connection}[server](url)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(url, tmp_path, ("stamp", *SWEEPS), batch_size=20)) for _ in range(3)]
        disturbances: list[Disturbance] = []
        done = work_together(workers, lambda: disturbances.append(Disturbance(cut)))
        disturbances[0].stop()
    assert disturbances[0].times > 10
    # A connection that is cut at every one of its attempts may fail a run; it must not fail for any other reason.
    assert all("OperationalError" in error or "cannot be reached" in error for one in done for error in one["errors"])
    assert all(one["finished"] for one in done)
    laws = [law for law in broken_laws(engine, due) if not law.startswith("a run failed")]
    assert laws == []
    engine.dispose()


def test_server_that_restarts_twice_loses_and_repeats_nothing(tmp_path: Path) -> None:
    due = 1500  # enough that the work outlasts both restarts
    with PostgresServer() as server:
        url = server.create_database()
        engine = open_market(url)
        fill(engine, due=due)
        engine.dispose()
        with ExitStack() as stack:
            workers = [stack.enter_context(Worker(url, tmp_path, ("stamp", *SWEEPS), limit=20)) for _ in range(3)]

            restarted, over = threading.Event(), threading.Event()

            def restart() -> None:
                for stop in (server.stop, server.kill):
                    time.sleep(0.7)
                    stop()
                    time.sleep(0.3)
                    server.start()
                restarted.set()
                over.wait()  # the server ends with the thread that started it

            restarting = threading.Thread(target=restart, daemon=True)
            done = work_together(workers, restarting.start)
        assert all(one["finished"] for one in done)
        assert restarted.is_set(), "the work was over before the server was back"
        laws = [law for law in broken_laws(engine, due) if not law.startswith("a run failed")]
        assert laws == []
        engine.dispose()
        over.set()
        restarting.join()


def test_database_that_is_away_for_a_moment_is_not_held_against_a_row(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_market(sqlite_url)
    fill(engine, due=3)
    wiring = wired(sqlite_url, tmp_path)
    refusals: list[Exception] = []

    @event.listens_for(wiring.engine, "do_connect")
    def refuse(*_: Any) -> None:
        if refusals:
            raise refusals.pop()

    stamp_it = stamp.stamp

    def stamp_while_the_database_is_away(*arguments: Any, **options: Any) -> Any:
        wiring.engine.dispose()
        refusals.extend([sqlite3.OperationalError("unable to open database file")] * 2)
        return stamp_it(*arguments, **options)

    monkeypatch.setattr(stamp, "stamp", stamp_while_the_database_is_away)
    with suppress(DatabaseUnreachable):  # the run may fail: the next tick comes all the same
        act(wiring, "stamp")
    with reading(engine) as connection:
        assert set(connection.execute(select(problems.c.code)).scalars()) <= {"unknown_time_zone"}
    engine.dispose()
