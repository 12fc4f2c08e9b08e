"""Connections to the database: bounded, told their limits behind a pooler too, made again when they are lost."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from returnclock import schema
from returnclock.database import reading, retried, writing
from returnclock.engines import open_engine
from returnclock.errors import (
    DatabaseUnreachable,
)
from returnclock.ledger import Hand
from returnclock.ops.hold import hold
from returnclock.ops.targets import Desk
from returnclock.runs import perform
from returnclock.scopes import Scope
from returnclock.settings import DatabaseSettings
from returnclock.sqlstates import is_passing
from tests.servers import MariaDBServer, PgBouncer, PostgresServer
from tests.servers.process import HOST, free_port, wait_until
from tests.system.crowded_market import OWN_ID, act, broken_laws, fill, open_market, wired
from tests.system.deployment import Deployment
from tests.system.processes import Worker, work_together

SWEEPS = ("escalate-disputes", "expire-return-windows", "flag-late-refunds", "close-stale-returns")
TASKS = ("stamp", "escalate-disputes", "expire-return-windows", "flag-late-refunds", "deliver-mail")
LIMITS = {
    "postgresql": "SELECT current_setting('TimeZone'), current_setting('statement_timeout'), current_setting('lock_timeout'), "
    "current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_isolation')",
    "mariadb": "SELECT @@time_zone, @@max_statement_time, @@innodb_lock_wait_timeout, @@lock_wait_timeout, "
    "@@idle_transaction_timeout, @@tx_isolation",
}
LIMITED = {
    "postgresql": ("UTC", "150s", "15s", "1min", "read committed"),
    "mariadb": ("+00:00", 150, 15, 15, 60, "READ-COMMITTED"),
}
SEEN = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid = :id",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE id = :id",
}
END = {"postgresql": "SELECT pg_terminate_backend(:id)", "mariadb": "KILL CONNECTION :id"}


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(postgres) as running:
        yield running


@pytest.fixture(params=["postgresql", "pgbouncer", "mariadb"])
def server_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of a server; that of PostgreSQL also by way of PgBouncer."""
    if request.param == "mariadb":
        return str(request.getfixturevalue("mariadb_url"))
    url = str(request.getfixturevalue("postgres_url"))
    return request.getfixturevalue("pooler").url_of(url) if request.param == "pgbouncer" else url


@pytest.fixture
def engine(server_url: str) -> Iterator[Engine]:
    opened = open_engine(server_url)
    yield opened
    opened.dispose()


def ask(connection: Connection, statement: dict[str, str], **values: Any) -> Any:
    return connection.execute(text(statement[connection.dialect.name]), values)


# -- limits


def test_every_transaction_has_its_limits_and_utc(engine: Engine) -> None:
    for begin in (writing, reading):
        for _ in range(3):
            with begin(engine) as connection:
                assert tuple(ask(connection, LIMITS).one()) == LIMITED[engine.dialect.name]


def test_limits_and_zone_do_not_reach_another_client_of_the_pooler(postgres: PostgresServer) -> None:
    with PgBouncer(postgres, {"default_pool_size": "1"}) as pooler:
        url = pooler.url_of(postgres.create_database())
        ours = open_engine(url)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=None) as other:
            before = other.execute(LIMITS["postgresql"]).fetchone()
            with writing(ours) as connection:
                mine = ask(connection, OWN_ID).scalar_one()
            assert other.execute(OWN_ID["postgresql"]).fetchone() == (mine,)
            assert other.execute(LIMITS["postgresql"]).fetchone() == before != LIMITED["postgresql"]
        ours.dispose()


def test_what_the_address_says_of_the_connection_stays(postgres: PostgresServer) -> None:
    url = postgres.create_database() + "?application_name=shop&options=-c%20search_path%3Dshop"
    engine = open_engine(url)
    with reading(engine) as connection:
        said = connection.execute(text("SELECT current_setting('application_name'), current_setting('search_path')")).one()
    assert tuple(said) == ("shop", "shop")
    engine.dispose()


def test_a_process_opens_no_more_connections_than_its_pool_has(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(postgres_url, pool_size=2)
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)
    with reading(engine), reading(engine), pytest.raises(DatabaseUnreachable, match="pool_size"), reading(engine):
        pass
    engine.dispose()


# -- a pooler in front


def test_workers_share_the_sessions_of_a_pooler(pooler: PgBouncer, postgres_url: str, tmp_path: Path) -> None:
    due, url = 200, pooler.url_of(postgres_url)
    engine = open_market(url)
    fill(engine, due=due, not_due=20)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(url, tmp_path, TASKS, batch_size=40)) for _ in range(4)]
        done = work_together(workers)
    assert [one["errors"] for one in done] == [[]] * 4
    assert broken_laws(engine, due) == []
    engine.dispose()


def test_one_connection_is_enough_for_a_process(server_url: str, tmp_path: Path) -> None:
    engine = open_market(server_url)
    fill(engine, due=5)
    wiring = wired(server_url, tmp_path, database=DatabaseSettings(pool_size=1))
    assert wiring.engine.pool.size() == 1  # type: ignore[attr-defined]
    act(wiring, *TASKS, "send-reminders", "reconcile", "audit", "purge")
    assert broken_laws(engine, 5) == []
    wiring.engine.dispose()
    engine.dispose()


# -- connections that are lost


@pytest.fixture
def end_session(request: pytest.FixtureRequest, engine: Engine) -> Callable[[int], None]:
    """Ends a session of the server as an administrator does, and waits until it is gone."""
    server = request.getfixturevalue("mariadb" if engine.dialect.name == "mariadb" else "postgres")
    administrator = create_engine(server.url(), poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def end(session: int) -> None:
        with administrator.connect() as connection:
            ask(connection, END, id=session)
            wait_until(lambda: not ask(connection, SEEN, id=session).all(), 10)

    return end


def test_a_batch_whose_session_is_ended_is_done_again(engine: Engine, end_session: Callable[[int], None]) -> None:
    sessions = []

    def batch() -> int:
        with writing(engine) as connection:
            sessions.append(ask(connection, OWN_ID).scalar_one())
            if len(sessions) == 1:
                end_session(sessions[0])
            return int(connection.execute(text("SELECT 1")).scalar_one())

    assert retried(batch) == 1
    assert len(set(sessions)) == 2


def test_a_batch_whose_connection_closed_before_the_answer_is_done_again(postgres: PostgresServer) -> None:
    engine = open_engine(postgres.create_database())
    sessions = []

    def batch() -> int:
        with reading(engine) as connection:
            sessions.append(ask(connection, OWN_ID).scalar_one())
            if len(sessions) == 1:
                # As libpq is left when the socket closes after a command went out: it takes none, and counts as whole.
                connection.connection.dbapi_connection.pgconn.send_query(b"SELECT 1")  # type: ignore[union-attr]
            return int(connection.execute(text("SELECT 1")).scalar_one())

    assert retried(batch) == 1
    assert len(set(sessions)) == 2
    engine.dispose()


def test_every_transaction_of_a_task_is_made_again_when_its_session_is_ended(
    engine: Engine, server_url: str, end_session: Callable[[int], None], tmp_path: Path
) -> None:
    schema.upgrade(engine)
    fill(engine, due=3)
    wiring = wired(server_url, tmp_path)
    act(wiring, "stamp")
    with writing(engine) as connection:
        # One that no hold covers, one with a hold to be carried out, rows that nobody noted, and one with a problem.
        connection.execute(text("UPDATE clock_deadlines SET state = 'held' WHERE kind = 'refund_completion'"))
        connection.execute(text("UPDATE disputes SET status = 'refused' WHERE id = 2"))
        connection.execute(text("UPDATE refunds SET started_at = NULL, status = 'clearing' WHERE id = 3"))
        connection.execute(text("DELETE FROM clock_changes"))
    hold(Desk(engine, wiring.clock, wiring.rulebook, Hand("maria"), "asked"), Scope(table="disputes", subject_id="1"))
    with writing(engine) as connection:
        connection.execute(text("UPDATE clock_holds SET caught_at = NULL"))
    begun = 0

    @event.listens_for(wiring.engine, "begin")
    def end_every_other(connection: Connection) -> None:
        nonlocal begun
        begun += 1
        if begun % 2:
            end_session(ask(connection, OWN_ID).scalar_one())

    done = {task: perform(wiring, task, trigger="cli", actor="maria") for task in ("reconcile", *SWEEPS, "purge", "audit")}
    assert done["reconcile"]["changed"] > 0
    assert begun > 60
    wiring.engine.dispose()


def test_a_session_that_ended_while_it_was_idle_is_no_fault(engine: Engine, end_session: Callable[[int], None]) -> None:
    with reading(engine) as connection:
        mine = ask(connection, OWN_ID).scalar_one()
    end_session(mine)
    with writing(engine) as connection:
        assert ask(connection, OWN_ID).scalar_one() != mine


def test_a_session_that_ended_before_its_connection_came_back_is_told_in_a_line_without_alarm(
    mariadb: MariaDBServer, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(mariadb.create_database())
    administrator = create_engine(mariadb.url(), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    caplog.set_level(logging.INFO)

    @event.listens_for(engine, "reset", once=True)
    def end(driver: Any, *_: object) -> None:
        with administrator.connect() as connection:
            ask(connection, END, id=driver.thread_id())

    with writing(engine) as connection:
        connection.execute(text("SELECT 1"))
    with writing(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    told = [(record.levelname, record.getMessage(), record.exc_info) for record in caplog.records]
    assert told == [("INFO", "a connection was lost and is made again: Lost connection to MySQL server during query", None)]
    engine.dispose()


INTERRUPTED = {
    "postgresql": [
        ("SET LOCAL statement_timeout = '100ms'", "SELECT pg_sleep(5)"),
        ("SET LOCAL idle_in_transaction_session_timeout = '100ms'", "SELECT 1"),
    ],
    "mariadb": [
        ("SET max_statement_time = 0.1", "SELECT SLEEP(5) FROM information_schema.tables"),
        ("SET idle_transaction_timeout = 1", "SELECT 1"),
    ],
}


@pytest.mark.parametrize("way", [0, 1], ids=["statement", "idle in transaction"])
def test_what_a_limit_interrupts_may_be_tried_again(engine: Engine, way: int) -> None:
    limit, statement = INTERRUPTED[engine.dialect.name][way]
    with pytest.raises(DBAPIError) as caught, writing(engine) as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS t (id INT)"))
        connection.execute(text(limit))
        connection.execute(text("INSERT INTO t VALUES (1)"))
        time.sleep(1.5 * way)
        connection.execute(text(statement))
    assert is_passing(caught.value)


PASSING = [
    *(
        psycopg.errors.lookup(state)()
        for state in ("57P01", "57P02", "57P03", "53300", "08006", "08P01", "40001", "40P01", "25006")
    ),
    *(pymysql.err.OperationalError(code, "") for code in (1020, 1053, 1205, 1213, 1317, 1792, 1836, 1927, 1969, 2006, 2013)),
    pymysql.err.OperationalError(1290, "The MariaDB server is running with the --read-only option"),
]
LASTING = [
    *(psycopg.errors.lookup(state)() for state in ("23505", "42P01", "53100", "42501")),
    *(pymysql.err.OperationalError(code, "") for code in (1045, 1054, 1114)),
    pymysql.err.OperationalError(1290, "The MariaDB server is running with the --secure-file-priv option"),
]


@pytest.mark.parametrize("fault", [*PASSING, *LASTING], ids=lambda fault: f"{type(fault).__name__}{fault.args}")
def test_faults_that_pass_are_told_from_those_that_last(fault: Exception) -> None:
    assert is_passing(OperationalError("SELECT 1", None, fault)) is (fault in PASSING)


def test_a_connection_that_broke_without_a_word_of_the_server_passes() -> None:
    broken = psycopg.OperationalError("server closed the connection unexpectedly")
    assert is_passing(OperationalError("SELECT 1", None, broken, connection_invalidated=True))
    assert not is_passing(OperationalError("SELECT 1", None, broken))


@pytest.mark.parametrize("kind", [PostgresServer, MariaDBServer])
def test_a_batch_goes_on_after_its_server_was_restarted(kind: type[PostgresServer] | type[MariaDBServer]) -> None:
    with kind() as server:
        engine = open_engine(server.create_database())
        attempts = 0

        def batch() -> int:
            nonlocal attempts
            attempts += 1
            with writing(engine) as connection:
                connection.execute(text("SELECT 1"))
                if attempts == 1:
                    server.restart()
                return int(connection.execute(text("SELECT 2")).scalar_one())

        assert retried(batch) == 2
        assert attempts == 2
        server.stop()
        with pytest.raises(DatabaseUnreachable), writing(engine):
            pass
        engine.dispose()


def test_a_server_that_is_not_there_is_told_at_once_and_asked_again_only_after_a_loss() -> None:
    away = open_engine(f"postgresql+psycopg://postgres@{HOST}:{free_port()}/market")
    attempts = 0

    def batch(lost_before: bool) -> None:
        nonlocal attempts
        attempts += 1
        if lost_before and attempts == 1:
            raise OperationalError("SELECT 1", None, psycopg.errors.AdminShutdown())
        with writing(away):
            pass

    with pytest.raises(DatabaseUnreachable):
        retried(lambda: batch(False))
    assert attempts == 1
    attempts = 0
    with pytest.raises(DatabaseUnreachable):
        retried(lambda: batch(True), attempts=3)
    assert attempts == 3


def test_what_fell_due_while_the_database_restarted_fires_once(tmp_path: Path) -> None:
    with PostgresServer() as server:
        market = Deployment(tmp_path, server.create_database())
        with market.running():
            market.fall_due(100)
            server.restart()
            market.enforces(60, runs_may_fail=True)


# -- processes


def test_a_forked_worker_opens_a_connection_of_its_own(postgres_url: str, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os
        from celery import signals
        from sqlalchemy import text
        from returnclock.database import reading
        from returnclock.tasks import wiring

        def session():
            with reading(wiring().engine) as connection:
                return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

        print(session(), flush=True)
        child = os.fork()
        if not child:
            signals.worker_process_init.send(sender=None)
            print(session(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(session(), flush=True)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            "DATABASE_URL": postgres_url,
            "RETURNCLOCK_DATA": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    before, child, after = done.stdout.split()
    assert child != before == after
