"""Opens the database and its transactions, the same way for every room.

`writing` and `reading` are the only two kinds of transaction. Imports errors and the column types.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import uniform
from time import monotonic, sleep
from typing import Any, TypeVar

import orjson
from sqlalchemy import URL, Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql.elements import ColumnElement

from returnclock.errors import DatabaseUnreachable
from returnclock.sqlstates import is_passing
from returnclock.tables.expressions import sqlite_later
from returnclock.tables.instants import sqlite_local, sqlite_utc_of, sqlite_utc_of_epoch
from returnclock.tables.keys import Packed
from returnclock.tables.types import sqlite_utc

T = TypeVar("T")

SQLITE_BUSY_S = 30  # how long a writer waits for another one before it gives up; a batch takes well under a second
STATEMENT_S = 150  # above the two minutes that one upgrade waits for another, below a task's own limit
LOCK_S = 15
IDLE_IN_TRANSACTION_S = 60
CONNECT_S = 10
# A socket is given up later than the server gives up the statement, so that the server's own word comes first.
READ_S = STATEMENT_S + 30

_SQLITE_FUNCTIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("returnclock_utc", 1, sqlite_utc),
    ("returnclock_later", 2, sqlite_later),
    ("returnclock_utc_of", 2, sqlite_utc_of),
    ("returnclock_local", 2, sqlite_local),
    ("returnclock_utc_of_epoch", 1, sqlite_utc_of_epoch),
)
_IN_EACH_TRANSACTION = {
    "TimeZone": "UTC",
    "statement_timeout": f"{STATEMENT_S}s",
    "lock_timeout": f"{LOCK_S}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
}
_SET_POSTGRESQL = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in _IN_EACH_TRANSACTION.items()
)
_SET_POSTGRESQL_UNSYNCED = _SET_POSTGRESQL + ", set_config('synchronous_commit', 'off', true)"
_SET_MARIADB = (
    f"SET time_zone='+00:00', max_statement_time={STATEMENT_S}, innodb_lock_wait_timeout={LOCK_S}, "
    # The lock on a table's definition, for which MariaDB would otherwise wait a day while a front end alters the table.
    f"lock_wait_timeout={LOCK_S}, idle_transaction_timeout={IDLE_IN_TRANSACTION_S}"
)
# What an address says of these itself stays.
_LIBPQ: dict[str, str | int] = {
    "application_name": "returnclock",
    "connect_timeout": CONNECT_S,
    # A server that vanished without a word is noticed after a minute, instead of after TCP's own quarter of an hour.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def open_engine(url: str, *, pool_size: int = 5) -> Engine:
    """Return an engine whose transactions are in UTC, at READ COMMITTED, and never wait for ever. Does not connect yet.

    ``pool_size`` bounds the connections of this process; they are opened when they are needed. SQLite has none to bound.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        waiting = {"timeout": SQLITE_BUSY_S, "check_same_thread": False}
        engine = create_engine(parsed, connect_args=waiting, hide_parameters=True, json_serializer=json_text)
        _prepare_sqlite(engine)
        return engine
    engine = create_engine(
        parsed,
        isolation_level="READ COMMITTED",
        # An error that quotes the values of a statement would carry names and addresses into every log.
        hide_parameters=True,
        json_serializer=json_text,
        connect_args=_postgresql(parsed) if backend == "postgresql" else _mariadb(),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=1800,
    )
    if backend == "postgresql":
        _prepare_postgresql(engine)
    return engine


def json_text(value: Any) -> str:
    """A value as the JSON that our documents keep; instants and days in ISO 8601."""
    return orjson.dumps(value).decode()


def _postgresql(parsed: URL) -> dict[str, Any]:
    said = {name: value for name, value in _LIBPQ.items() if name not in parsed.query}
    # A prepared statement stays with one session of the server, and a pooler hands out another for each transaction.
    return said | {"prepare_threshold": None}


def _mariadb() -> dict[str, Any]:
    return {
        "init_command": _SET_MARIADB,
        "charset": "utf8mb4",
        "connect_timeout": CONNECT_S,
        "read_timeout": READ_S,
        "write_timeout": READ_S,
    }


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(dbapi_connection: Any, _record: Any) -> None:
        from psycopg.types.array import ListBinaryDumper

        dbapi_connection.adapters.register_dumper(Packed, ListBinaryDumper)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # In each transaction, not once a session: PgBouncer refuses them as options of the connection, and in its transaction
        # mode a session's settings would reach whoever gets that session next.
        lasting = connection.get_execution_options().get("returnclock_lasting", True)
        connection.exec_driver_sql(_SET_POSTGRESQL if lasting else _SET_POSTGRESQL_UNSYNCED).close()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(dbapi_connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes late and is deferred; two writers would then meet in the middle of a batch.
        dbapi_connection.isolation_level = None
        # SQLite keeps text that is no UTF-8; refusing to read it would stop every row that is read beside it.
        dbapi_connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        for name, arguments, function in _SQLITE_FUNCTIONS:
            dbapi_connection.create_function(name, arguments, function, deterministic=True)
        _write_ahead(dbapi_connection)
        for pragma in ("synchronous=NORMAL", "foreign_keys=OFF", "cache_size=-8192"):
            dbapi_connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        reads = connection.get_execution_options().get("returnclock_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _write_ahead(connection: Any) -> None:
    """Switch a database to its write-ahead log; where two make a new file at once, SQLite refuses one without waiting."""
    for attempts_left in reversed(range(100)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as fault:
            if "locked" not in str(fault) or not attempts_left:
                raise
            sleep(uniform(0.01, 0.1))


@contextmanager
def writing(engine: Engine, *, lasting: bool = True) -> Iterator[Connection]:
    """One transaction that changes something: committed at the end, rolled back when anything is raised.

    lasting: whether it must outlive a crash of the server from the moment of its commit. What need not, PostgreSQL writes to
    disk within a second, and nobody waits for that.

    Raises:
        DatabaseUnreachable: when no connection could be had.
    """
    with _connected(engine) as raw:
        connection = raw if lasting else raw.execution_options(returnclock_lasting=False)
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine, *, within_s: float | None = None) -> Iterator[Connection]:
    """One transaction that only reads, and in SQLite never waits for a writer.

    ``within_s``: how long one statement may take, where the usual limit would keep somebody waiting; PostgreSQL then reads
    no whole table that has an index.

    Raises:
        DatabaseUnreachable: when no connection could be had.
    """
    with _connected(engine) as raw:
        connection = raw.execution_options(returnclock_reads=True)
        with connection.begin(), _limited(connection, within_s):
            yield connection


@contextmanager
def _limited(connection: Connection, within_s: float | None) -> Iterator[None]:
    if within_s is None:
        yield
    elif connection.dialect.name == "postgresql":
        # Such questions are served by indexes, and must stay so when statistics or the visibility map are stale.
        said = {"statement_timeout": f"{int(within_s * 1000)}", "enable_seqscan": "off", "max_parallel_workers_per_gather": "0"}
        settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in said.items())
        connection.exec_driver_sql(f"SELECT {settings}").close()
        yield
    elif connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        end = monotonic() + within_s
        driver.set_progress_handler(lambda: monotonic() > end, 100_000)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)
    else:
        connection.exec_driver_sql(f"SET max_statement_time = {within_s}").close()
        try:
            yield
        finally:
            # MariaDB has no limit of one transaction alone, and the connection goes on to somebody else.
            if not connection.invalidated:
                connection.exec_driver_sql(f"SET max_statement_time = {STATEMENT_S}").close()


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except OperationalError as fault:
        reason = str(fault.orig).strip().splitlines()[0] if str(fault.orig).strip() else "no answer"
        raise DatabaseUnreachable(url=engine.url.render_as_string(hide_password=True), reason=reason) from fault
    except PoolTimeout as fault:
        reason = "all connections of this process are in use; raise [database] pool_size or lower the concurrency"
        raise DatabaseUnreachable(url=engine.url.render_as_string(hide_password=True), reason=reason) from fault
    with connection:
        yield connection


def retried(batch: Callable[[], T], *, attempts: int = 8, at_once: bool = True) -> T:
    """Run one batch, again after a passing fault; a batch is one transaction, so a failed one has changed nothing.

    A server that cannot be reached at the first attempt is told ``at_once``. After a lost connection it is asked again,
    because one that restarts refuses for a moment.
    """
    for attempt in range(1, attempts + 1):
        try:
            return batch()
        except (DBAPIError, DatabaseUnreachable) as fault:
            passing = attempt > 1 or not at_once if isinstance(fault, DatabaseUnreachable) else is_passing(fault)
            if attempt == attempts or not passing:
                raise
            sleep(min(uniform(0.02, 0.1) * 2**attempt, 1.5))  # jitter, or the same two would meet again
    raise AssertionError("unreachable")


def insert_new(connection: Connection, table: Table, unique: Sequence[ColumnElement[Any]]) -> Insert:
    """An INSERT that leaves out the rows whose unique key is taken: the other one came first, and that is fine."""
    name = connection.dialect.name
    if name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=list(unique))
    if name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=list(unique))
    return mysql.insert(table).prefix_with("IGNORE")
