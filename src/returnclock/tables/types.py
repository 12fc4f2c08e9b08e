"""Column types and their defaults, which read the same in every database.

An instant is UTC everywhere: ``timestamptz`` in PostgreSQL, ``DATETIME(6)`` in MariaDB, and in SQLite, which has no type for
it, text of one form that sorts, ``2026-11-27 17:40:00.000000Z``. That form compares correctly with SQLite's own
``datetime('now')``, and unlike SQLite's it names its zone, so no language reads it as local time.
Imports nothing of ours.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import JSON, BigInteger, Date, DateTime, Integer, String, Text, TypeDecorator
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

BigId = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER numbers its rows in SQLite
# 191 is the longest that MariaDB indexes in utf8mb4 under every row format; its usual collations take a1 and A1 for one key.
LONGEST_KEY = 191
_MARIADB_KEY = mysql.VARCHAR(LONGEST_KEY, charset="utf8mb4", collation="utf8mb4_bin")
Key = String(LONGEST_KEY).with_variant(_MARIADB_KEY, "mysql", "mariadb")
Document = JSON().with_variant(postgresql.JSONB(), "postgresql")
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

_UNREADABLE = "~"  # sorts after every digit: the latest of a date and an unreadable one is the unreadable one

_LENGTH = len("2026-11-27 17:40:00.000000Z")


class Unreadable(str):
    """What a front end wrote where an instant belongs, when it cannot be read as one."""


def written(moment: datetime) -> str:
    """The one form in which instants are kept in SQLite: ``YYYY-MM-DD HH:MM:SS.ffffffZ``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") + "Z"


def read_instant(value: object) -> datetime | Unreadable | None:
    """Read any ISO 8601 form (``T`` or space, ``Z``, an offset, or nothing for UTC; a fraction or none) as UTC."""
    if value is None or isinstance(value, datetime):
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str) and len(value) == _LENGTH and value[-1] == "Z":  # our own form, nearly always
        try:  # a thousand times a batch: contextlib's suppress takes as long as the reading itself
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raw = value.strip() if isinstance(value, str) else str(value)
    try:
        if not isinstance(value, str):
            raise ValueError  # 20261127 as a number is as likely to be an epoch as a date
        moment = datetime.fromisoformat(raw.upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return Unreadable(raw.removeprefix(_UNREADABLE)[:60])


@lru_cache(8192)
def sqlite_utc(value: object) -> str | None:
    """The SQL function ``returnclock_utc`` of our SQLite connections: any ISO 8601 form in the one form that sorts.

    What cannot be read comes back marked, never as NULL: a condition on it is then false, so that an unreadable reply of a
    seller cannot be mistaken for silence.
    """
    moment = read_instant(value)
    if moment is None:
        return None
    return _UNREADABLE + moment if isinstance(moment, Unreadable) else written(moment)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC; aware in Python."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Choose the database's own type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Write an aware datetime; a naive one is refused, because its zone would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        if dialect.name == "sqlite":
            return written(value)
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name in ("mysql", "mariadb") else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Read an aware datetime in UTC; text that is no instant comes back as `Unreadable`."""
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return read_instant(value)


def read_day(value: object) -> date | Unreadable | None:
    """Read a local day, or the day of an instant without a zone, in any ISO 8601 form."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return value.date() if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip()).date()
    except ValueError:
        return Unreadable(str(value)[:60])


class Day(TypeDecorator[date]):
    """A local day; what a front end wrote that is none comes back as `Unreadable`."""

    impl = Date
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read it here alone: SQLAlchemy's own way for SQLite fails on text that is no day, and all rows with it."""
        return read_day


class AsRead(TypeDecorator[Any]):
    """A value as the driver gave it, to be given to it as it is, whatever type the column that it goes to has in our eyes."""

    impl = NullType
    cache_ok = True


class present(FunctionElement[datetime]):
    """The database's present instant, as a column's default: in UTC whatever the session's time zone is."""

    type = Instant()
    inherit_cache = True


@compiles(present)
def _present(element: present, compiler: Any, **kw: Any) -> str:
    return "now()"


@compiles(present, "mysql", "mariadb")
def _present_mariadb(element: present, compiler: Any, **kw: Any) -> str:
    return "(UTC_TIMESTAMP(6))"


@compiles(present, "sqlite")
def _present_sqlite(element: present, compiler: Any, **kw: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000Z', 'now'))"


class present_second(present):
    """The same, where a second is close enough: SQLite takes as long for the fraction as for the row that it dates."""

    inherit_cache = True


@compiles(present_second, "sqlite")
def _present_second_sqlite(element: present_second, compiler: Any, **kw: Any) -> str:
    return "(CURRENT_TIMESTAMP || '.000000Z')"


def json_text(value: Any) -> str:
    """A value as the JSON that our documents keep; instants and days in ISO 8601."""
    return orjson.dumps(value).decode()


def legible(value: Any) -> Any:
    """A value as it was read, but bytes, which SQLite takes into a text column, as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def plain(value: Any) -> Any:
    """A value of a column in JSON types, as the ledger and the archive keep it; an instant in the form that sorts."""
    if isinstance(value, datetime):
        return written(value if value.tzinfo else value.replace(tzinfo=UTC))
    return str(value) if isinstance(value, date | Decimal) else legible(value)
