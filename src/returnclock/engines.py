"""Opens engines: a connection of each database as every room of ours wants it, and what it may wait for.

Imports the column types.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from random import uniform
from time import sleep
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url

from returnclock.errors import BadDatabaseAddress
from returnclock.settings import redacted
from returnclock.sqlstates import only_reads, reason_of
from returnclock.tables.arrays import Packed
from returnclock.tables.expressions import sqlite_later
from returnclock.tables.instants import sqlite_local, sqlite_utc_of, sqlite_utc_of_epoch
from returnclock.tables.types import json_text, sqlite_utc

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
    "DateStyle": "ISO",  # the driver reads no other
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
    f"lock_wait_timeout={LOCK_S}, idle_transaction_timeout={IDLE_IN_TRANSACTION_S}, "
    # From a thousand ids on MariaDB would join them as a table, and may read ours from end to end to do so.
    "in_predicate_conversion_threshold=0"
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

    Raises:
        BadDatabaseAddress: a word after the address's "?" has a value that cannot be used.
    """
    parsed = make_url(url)
    try:
        return _open(parsed, pool_size)
    except ValueError as fault:  # of a number that is none, of which the message tells the value alone
        raise BadDatabaseAddress(url=shown(parsed), reason=str(fault)) from fault


def shown(url: URL) -> str:
    """An address as it may be told: SQLAlchemy's own hiding knows no password that stands after the "?"."""
    return redacted(url.render_as_string(hide_password=False))


def _open(parsed: URL, pool_size: int) -> Engine:
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
        pool_logging_name="returnclock",
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=1800,
    )
    if backend == "postgresql":
        _prepare_postgresql(engine)
        event.listen(engine, "handle_error", _give_up_the_unanswered)
    event.listen(engine, "handle_error", _give_up_connections)
    return engine


def _give_up_connections(context: ExceptionContext) -> None:
    """Have all connections made again where one turns out to only read.

    After a failover the socket to the former primary may live on, and a pool would write to it until it is half an hour old.
    """
    if only_reads(context.original_exception):
        context.is_disconnect = True


def _give_up_the_unanswered(context: ExceptionContext) -> None:
    """Have a connection count as lost whose socket closed before the answer came.

    libpq may still believe in it then, and so does SQLAlchemy, which asks libpq alone; it takes no further command.
    """
    told = context.original_exception
    if getattr(told, "sqlstate", None) or context.connection is None or context.connection.invalidated:
        return
    raw = context.connection.connection.dbapi_connection
    if raw is not None and raw.info.transaction_status.name == "ACTIVE":  # nothing is, once it has been answered
        context.is_disconnect = True


def _tell_of_a_lost_connection(record: logging.LogRecord) -> bool:
    """Turn into one line what the pool tells with a traceback of a connection that was lost before it came back to it.

    Its transaction had ended by then, and the pool makes another one: nothing is to be done.
    """
    fault = record.exc_info[1] if record.exc_info else None
    if fault is not None and "reset" in str(record.msg):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "a connection was lost and is made again: %s", (reason_of(fault),)
        record.exc_info = None
    return True


logging.getLogger("sqlalchemy.pool.impl.QueuePool.returnclock").addFilter(_tell_of_a_lost_connection)


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
    @event.listens_for(engine, "before_cursor_execute")
    def reads(_connection: Any, cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if context is not None and context.execution_options.get("returnclock_any_date"):
            _read_any_date(cursor)

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


def _read_any_date(cursor: Any) -> None:
    """Have a cursor read as text what Python has no date for; ten times as slow as the driver's own way."""
    from psycopg import DataError
    from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader

    def lenient(strict: Any) -> Any:
        def load(self: Any, data: Any) -> Any:
            try:
                return strict.load(self, data)
            except DataError:
                return bytes(data).decode()

        return type(strict.__name__, (strict,), {"load": load})

    for name, strict in (("date", DateLoader), ("timestamp", TimestampLoader), ("timestamptz", TimestamptzLoader)):
        cursor.adapters.register_loader(name, lenient(strict))


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
