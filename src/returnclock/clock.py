"""The only room that asks what time it is, and it asks the database.

Everything below the shell is handed ``now``. A worker whose own clock is wrong can therefore fire nothing early. With SQLite
the database runs in the worker's process, so its clock is that machine's. Imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Connection, text

# clock_timestamp, not now(): now() is the start of the transaction, and a sweep that waited for a lock would use a stale one.
_ASK = {
    "postgresql": "SELECT clock_timestamp()",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
    "mariadb": "SELECT UTC_TIMESTAMP(6)",
    # SQLite truncates to milliseconds, so this is never later than the truth.
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


class Clock(Protocol):
    """Tells the present instant, as an aware datetime in UTC."""

    def now(self, connection: Connection) -> datetime:
        """Return the present instant in UTC."""


class DatabaseClock:
    """The clock of the database server, asked once per batch and passed down."""

    def now(self, connection: Connection) -> datetime:
        """Return the database server's present instant in UTC (microseconds; milliseconds in SQLite)."""
        told = connection.execute(text(_ASK[connection.dialect.name])).scalar_one()
        moment = datetime.fromisoformat(told) if isinstance(told, str) else told
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass
class FrozenClock:
    """The clock of a simulation or of a dry run at another time: it stands until it is set.

    It never reaches a sweep of a real marketplace: ``--at`` is refused without ``--dry-run``, and ``demo`` brings its own
    database.
    """

    at: datetime

    def now(self, connection: Connection) -> datetime:
        """Return the instant that the clock was set to."""
        return self.at
