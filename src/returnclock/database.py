"""Opens transactions, the same way for every room: `writing` and `reading` are the only two kinds. Imports engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from random import uniform
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Insert, Row, Select, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql.elements import ColumnElement

from returnclock.clock import Clock
from returnclock.engines import STATEMENT_S, shown
from returnclock.errors import (
    BadDatabaseAddress,
    ConnectionsExhausted,
    DatabaseNotOpened,
    DatabaseReadsOnly,
    DatabaseUnreachable,
)
from returnclock.sqlstates import (
    is_no_connection_left,
    is_not_let_in,
    is_not_the_file,
    is_of_the_address,
    is_passing,
    only_reads,
    reason_of,
)

T = TypeVar("T")

# A new connection may be led to a server that writes. Else the next tick asks again, and others wait behind this one.
_ONLY_READS_ATTEMPTS = 3
_OF_A_SERVER = "correct DATABASE_URL, or at the server the database, the account, its password or its rights"
_OF_A_FILE = (
    "DATABASE_URL must name a file of SQLite, or a new one, in a folder that there is; this user must be able to write both"
)
_TAKES_WRITES = {
    "postgresql": "SELECT current_setting('transaction_read_only') = 'off'",
    # Some accounts may write all the same; which rights an account has, it may read of itself.
    "mariadb": "SELECT @@read_only IN ('0', 'OFF') OR EXISTS (SELECT 1 FROM information_schema.user_privileges "
    "WHERE privilege_type IN ('SUPER', 'READ_ONLY ADMIN', 'READ ONLY ADMIN') "
    "AND replace(grantee, '''', '') = current_user())",
}


@contextmanager
def writing(engine: Engine, *, lasting: bool = True) -> Iterator[Connection]:
    """One transaction that changes something: committed at the end, rolled back when anything is raised.

    lasting: whether it must outlive a crash of the server from the moment of its commit. What need not, PostgreSQL writes to
    disk within a second, and nobody waits for that.

    Raises:
        DatabaseUnreachable: when no connection could be had.
        BadDatabaseAddress: when the address has an option that the driver does not know.
        DatabaseReadsOnly: when the server takes no writes.
    """
    with _connected(engine) as raw:
        connection = raw if lasting else raw.execution_options(returnclock_lasting=False)
        try:
            with connection.begin():
                yield connection
        except DBAPIError as fault:
            if only_reads(fault.orig):
                raise DatabaseReadsOnly(url=shown(engine.url), reason=reason_of(fault)) from fault
            raise


@contextmanager
def reading(engine: Engine, *, within_s: float | None = None) -> Iterator[Connection]:
    """One transaction that only reads, and in SQLite never waits for a writer.

    ``within_s``: how long one statement may take, where the usual limit would keep somebody waiting; PostgreSQL then reads
    no whole table that has an index.

    Raises:
        DatabaseUnreachable: when no connection could be had.
        BadDatabaseAddress: when the address has an option that the driver does not know.
    """
    with _connected(engine) as raw:
        connection = raw.execution_options(returnclock_reads=True)
        with connection.begin(), _limited(connection, within_s):
            yield connection


def all_rows(connection: Connection, chosen: Select[Any], given: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
    """The rows of a query over columns that a front end writes; what Python has no date for comes back as text.

    PostgreSQL knows dates such as ``infinity`` and the year 10000, and one of them would keep all rows beside it from being
    read. That they are read once more, and slowly, is the price of that one row alone.
    """
    try:
        return connection.execute(chosen, given).all()
    except DataError as fault:
        if connection.dialect.name != "postgresql" or getattr(fault.orig, "sqlstate", None):  # the server's own word
            raise
    return connection.execute(chosen, given, execution_options={"returnclock_any_date": True}).all()


def asked_time(engine: Engine, clock: Clock) -> datetime:
    """What time it is, asked in a transaction of its own. Raises as `reading` does."""
    with reading(engine) as connection:
        return clock.now(connection)


def takes_writes(connection: Connection) -> bool:
    """Whether something may be written where one can read: not on a replica, and not where somebody has forbidden it."""
    name = connection.dialect.name
    if name == "sqlite":
        return True
    statement = _TAKES_WRITES["postgresql" if name == "postgresql" else "mariadb"]
    return bool(connection.exec_driver_sql(statement).scalar_one())


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
    except DBAPIError as fault:
        raise _unreachable(shown(engine.url), fault) from fault
    except PoolTimeout as fault:
        reason = "all connections of this process are in use; raise [database] pool_size or lower the concurrency"
        raise DatabaseUnreachable(url=shown(engine.url), reason=reason) from fault
    except TypeError as fault:
        if "unexpected keyword argument" not in str(fault):
            raise
        reason = f"there is no option {str(fault).rpartition(' ')[2]}"  # PyMySQL takes what stands there for its own arguments
        raise BadDatabaseAddress(url=shown(engine.url), reason=reason) from fault
    with connection:
        yield connection


def _unreachable(url: str, fault: DBAPIError) -> DatabaseUnreachable | BadDatabaseAddress:
    """What an operator is told of a database to which no connection could be made."""
    reason = reason_of(fault)
    if is_of_the_address(fault):
        return BadDatabaseAddress(url=url, reason=reason)
    if is_no_connection_left(fault):
        return ConnectionsExhausted(url=url, reason=reason)
    if is_not_the_file(fault):
        return DatabaseNotOpened(url=url, reason=reason, remedy=_OF_A_FILE)
    if is_not_let_in(fault):
        return DatabaseNotOpened(url=url, reason=reason, remedy=_OF_A_SERVER)
    return DatabaseUnreachable(url=url, reason=reason)


def retried(batch: Callable[[], T], *, attempts: int = 8, at_once: bool = True) -> T:
    """Run one batch, again after a passing fault; a batch is one transaction, so a failed one has changed nothing.

    A server that cannot be reached at the first attempt is told ``at_once``. After a lost connection it is asked again,
    because one that restarts refuses for a moment.
    """
    for attempt in range(1, attempts + 1):
        try:
            return batch()
        except (DBAPIError, DatabaseUnreachable) as fault:
            enough = _ONLY_READS_ATTEMPTS if isinstance(fault, DatabaseReadsOnly) else attempts
            if attempt >= min(enough, attempts) or not _may_pass(fault, tell=at_once and attempt == 1):
                raise
            sleep(min(uniform(0.02, 0.1) * 2**attempt, 1.5))  # jitter, or the same two would meet again
    raise AssertionError("unreachable")


def _may_pass(fault: DBAPIError | DatabaseUnreachable, tell: bool) -> bool:
    if isinstance(fault, DBAPIError):
        return is_passing(fault)
    return isinstance(fault, DatabaseReadsOnly) or not tell


def insert_new(connection: Connection, table: Table, unique: Sequence[ColumnElement[Any]]) -> Insert:
    """An INSERT that leaves out the rows whose unique key is taken: the other one came first, and that is fine."""
    name = connection.dialect.name
    if name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=list(unique))
    if name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=list(unique))
    return mysql.insert(table).prefix_with("IGNORE")
