"""Follow: the ledger's feed by id, in its order, without ever missing a row. Read-only. Imports database and tables.

An id is given when a row is written and is seen when its transaction commits, so a lower id may come after a higher one. Rows
are therefore handed out only up to an id below which nothing can come any more: first the highest id is noted, then who is
writing into the ledger, and only when all of those have ended is everything up to that id read. Whoever resumes from the last
id that was handed out has missed nothing. (A look back over the last few hundred ids was refused: it is a guess, and one long
transaction beats it.)

Who is writing, each database tells in its own way, and without special rights:

- PostgreSQL: a writer holds a lock on the table from before its first id until what it wrote can be seen (``pg_locks``).
- MariaDB: a row that is written is locked until its transaction ends, and a locking read meets that lock; between the id
  and the row lies only the running statement, which the process list shows to its own account.
- SQLite: one writer at a time, so ids commit in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select, text
from sqlalchemy.exc import DBAPIError

from returnclock.database import reading
from returnclock.errors import Refused
from returnclock.sqlstates import is_passing
from returnclock.tables.clock import events

AT_ONCE = 5000

_WRITERS = {
    "postgresql": "SELECT virtualtransaction FROM pg_locks WHERE relation = 'clock_events'::regclass AND locktype = 'relation' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
    # Of all statements only those that write here: any other may run for long, and is none of our business.
    "mariadb": "SELECT query_id FROM information_schema.processlist WHERE id <> connection_id() AND command <> 'Sleep' "
    "AND db = database() AND info LIKE '%insert%' AND info LIKE '%clock_events%'",
}
_WRITERS["mysql"] = _WRITERS["mariadb"]


class Follower:
    """One reader's place in the ledger: everything with an id after ``since_id``, None for what comes from now on."""

    def __init__(self, engine: Engine, since_id: int | None = None, *, conditions: Sequence[ColumnElement[bool]] = ()) -> None:
        """Raises Refused on a standby of PostgreSQL, where nobody can tell who is writing."""
        self._engine = engine
        self._conditions = tuple(conditions)
        self._high = 0
        self._awaited: set[Any] | None = None
        with reading(engine) as connection:
            if connection.dialect.name == "postgresql" and connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
                raise Refused(reason="the ledger cannot be followed on a standby, which does not know who is writing.")
            self.last_id = _highest(connection) if since_id is None else since_id

    @property
    def waits(self) -> bool:
        """Whether the last call met a writer; otherwise the next one has more at once, or there is nothing more."""
        return bool(self._awaited)

    @property
    def caught_up(self) -> bool:
        """Whether the last call handed out all that had been written when it began to look."""
        return self._awaited is None

    def news(self) -> Sequence[Row[Any]]:
        """The next rows in the order of their ids, at most ``AT_ONCE``; none while a lower id may still come.

        Raises:
            DatabaseUnreachable: nothing is missed; the next call that succeeds goes on from the same place.
        """
        try:
            with reading(self._engine) as connection:
                rows = self._settled(connection) if connection.dialect.name != "sqlite" else self._read(connection)
        except DBAPIError as fault:
            if not is_passing(fault):
                raise
            return ()  # a row is locked by its writer, or the server has something else in hand: it is asked again
        return rows

    def _settled(self, connection: Connection) -> Sequence[Row[Any]]:
        if self._awaited is None:
            high = _highest(connection)
            if high <= self.last_id:
                return ()
            self._high, self._awaited = high, self._writers(connection)
        elif self._awaited:
            self._awaited &= self._writers(connection)
        if self._awaited:
            return ()
        top = self._high if connection.dialect.name == "postgresql" else self._unlocked(connection)
        rows = connection.execute(self._chosen(events.c.id <= top)).all()
        self.last_id = rows[-1].id if len(rows) == AT_ONCE else top
        if self.last_id == self._high:
            self._awaited = None
        return rows

    def _unlocked(self, connection: Connection) -> int:
        """The last id of the next page, once none of it is locked by its writer; a passing fault while one is."""
        page = (events.c.id > self.last_id, events.c.id <= self._high)
        ids = connection.execute(select(events.c.id).where(*page).order_by(events.c.id).limit(AT_ONCE)).scalars().all()
        top = ids[-1] if len(ids) == AT_ONCE else self._high
        # Downwards: upwards the scan would meet the lock of the row after the last. Without waiting: a writer that waited
        # behind this read would be held up by whoever looks.
        locking = select(events.c.id).where(events.c.id > self.last_id, events.c.id <= top).order_by(events.c.id.desc())
        connection.execute(locking.with_for_update(read=True, nowait=True)).all()
        return int(top)

    def _read(self, connection: Connection) -> Sequence[Row[Any]]:
        rows = connection.execute(self._chosen()).all()
        if rows:
            self.last_id = rows[-1].id
        return rows

    def _chosen(self, *more: ColumnElement[bool]) -> Any:
        return select(events).where(events.c.id > self.last_id, *more, *self._conditions).order_by(events.c.id).limit(AT_ONCE)

    @staticmethod
    def _writers(connection: Connection) -> set[Any]:
        return set(connection.execute(text(_WRITERS[connection.dialect.name])).scalars())


def _highest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(events.c.id), 0))).scalar_one())
