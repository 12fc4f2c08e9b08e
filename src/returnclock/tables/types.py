"""Column types and SQL expressions that read the same in every database.

An instant is UTC everywhere: ``timestamptz`` in PostgreSQL, ``DATETIME(6)`` in MariaDB, and in SQLite, which has no type for
it, text of one form that sorts, ``2026-11-27 17:40:00.000000Z``. That form compares correctly with SQLite's own
``datetime('now')``, and unlike SQLite's it names its zone, so no language reads it as local time.
Imports nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Integer,
    String,
    Text,
    TypeDecorator,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    literal,
    literal_column,
    null,
    or_,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType

BigId = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER numbers its rows in SQLite
# 191 is the longest that MariaDB indexes in utf8mb4 under every row format; its usual collations take a1 and A1 for one key.
_MARIADB_KEY = mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin")
Key = String(191).with_variant(_MARIADB_KEY, "mysql", "mariadb")
Document = JSON().with_variant(postgresql.JSONB(), "postgresql")
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
_UNREADABLE = "~"  # sorts after every digit: the latest of a date and an unreadable one is the unreadable one


class Unreadable(str):
    """What a front end wrote where an instant belongs, when it cannot be read as one."""


def written(moment: datetime) -> str:
    """The one form in which instants are kept in SQLite: ``YYYY-MM-DD HH:MM:SS.ffffffZ``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") + "Z"


def read_instant(value: object) -> datetime | Unreadable | None:
    """Read any ISO 8601 form (``T`` or space, ``Z``, an offset, or nothing for UTC; a fraction or none) as UTC."""
    if value is None or isinstance(value, datetime):
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
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


class utc(FunctionElement[datetime]):
    """A front end's instant in the form that our own columns have, so that the two can be compared in SQL."""

    type = Instant()
    inherit_cache = True


@compiles(utc)
def _utc(element: utc, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(utc, "sqlite")
def _utc_sqlite(element: utc, compiler: Any, **kw: Any) -> str:
    return f"returnclock_utc({compiler.process(element.clauses, **kw)})"


class latest(FunctionElement[datetime]):
    """The later of two instants; the other one where one is NULL."""

    type = Instant()
    inherit_cache = True


@compiles(latest)
def _latest(element: latest, compiler: Any, **kw: Any) -> str:
    one, other = (compiler.process(clause, **kw) for clause in element.clauses)
    greatest = "max" if compiler.dialect.name == "sqlite" else "greatest"
    return f"{greatest}(coalesce({one}, {other}), coalesce({other}, {one}))"


def sqlite_later(value: object, seconds: int) -> str | None:
    """The SQL function ``returnclock_later`` of our SQLite connections: an instant moved on; what is none stays as it is."""
    moment = read_instant(value)
    if moment is None or isinstance(moment, Unreadable):
        return sqlite_utc(value)
    return written(moment + timedelta(seconds=seconds))


class later(FunctionElement[datetime]):
    """An instant moved on by a whole number of seconds of elapsed time."""

    type = Instant()
    inherit_cache = True

    def __init__(self, moment: ColumnElement[Any], seconds: int) -> None:
        super().__init__(moment, literal_column(str(int(seconds)), Integer()))


@compiles(later)
def _later(element: later, compiler: Any, **kw: Any) -> str:
    moment, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({moment} + make_interval(secs => {seconds}))"


@compiles(later, "mysql", "mariadb")
def _later_mariadb(element: later, compiler: Any, **kw: Any) -> str:
    moment, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({moment} + INTERVAL {seconds} SECOND)"


@compiles(later, "sqlite")
def _later_sqlite(element: later, compiler: Any, **kw: Any) -> str:
    moment, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"returnclock_later({moment}, {seconds})"


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


class as_text(FunctionElement[str]):
    """A subject's id as the text that ``clock_deadlines.subject_id`` keeps."""

    type = Key
    inherit_cache = True


@compiles(as_text)
def _as_text(element: as_text, compiler: Any, **kw: Any) -> str:
    inner = compiler.process(element.clauses, **kw)
    target = "CHAR" if compiler.dialect.name in ("mysql", "mariadb") else "TEXT"
    return f"CAST({inner} AS {target})"


def legible(value: Any) -> Any:
    """A value as it was read, but bytes, which SQLite takes into a text column, as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def plain(value: Any) -> Any:
    """A value of a column in JSON types, as the ledger and the archive keep it; an instant in the form that sorts."""
    if isinstance(value, datetime):
        return written(value if value.tzinfo else value.replace(tzinfo=UTC))
    return str(value) if isinstance(value, date | Decimal) else legible(value)


def as_id(text_id: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A ``subject_id`` in the type of the subject's own key, so that the key's index serves the join."""
    if isinstance(column.type, Uuid):
        return cast(text_id, column.type)
    if isinstance(column.type, String):
        return in_collation_of(text_id, column) if _collation(column) else text_id
    return cast(text_id, BigInteger)


def _collation(column: ColumnElement[Any]) -> str | None:
    on_mariadb = getattr(column.type, "_variant_mapping", {}).get("mariadb")
    return on_mariadb.collation if isinstance(on_mariadb, mysql.VARCHAR) and on_mariadb.charset is None else None


class in_collation_of(FunctionElement[str]):
    """A text id in the collation of a shop's key: MariaDB uses no index where the two differ. Elsewhere it stays as it is."""

    type = Key
    inherit_cache = True

    def __init__(self, text_id: ColumnElement[Any], column: ColumnElement[Any]) -> None:
        super().__init__(text_id, literal_column(str(_collation(column))))


@compiles(in_collation_of)
def _in_collation_of(element: in_collation_of, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(next(iter(element.clauses)), **kw))


@compiles(in_collation_of, "mysql", "mariadb")
def _in_collation_of_mariadb(element: in_collation_of, compiler: Any, **kw: Any) -> str:
    text_id, collation = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({text_id} COLLATE {collation})"


class unknown(FunctionElement[Any]):
    """NULL of a type: PostgreSQL takes a bare one for text, and then compares it with nothing else."""

    inherit_cache = True

    def __init__(self, type_: TypeEngine[Any]) -> None:
        self.type = type_
        super().__init__(type_coerce(null(), type_))


@compiles(unknown)
def _unknown(element: unknown, compiler: Any, **kw: Any) -> str:
    return "NULL"


@compiles(unknown, "postgresql")
def _unknown_postgresql(element: unknown, compiler: Any, **kw: Any) -> str:
    of = next(iter(element.clauses)).type
    return f"CAST(NULL AS {compiler.dialect.type_compiler_instance.process(of)})"


class shop_sql(FunctionElement[Any]):
    """An SQL expression of the shop's own over one of its tables; ``of`` is a column of that table, for the FROM."""

    inherit_cache = True

    def __init__(self, text: str, of: ColumnElement[Any]) -> None:
        super().__init__(literal_column(text), of)


@compiles(shop_sql)
def _shop_sql(element: shop_sql, compiler: Any, **kw: Any) -> str:
    return f"({compiler.process(next(iter(element.clauses)), **kw)})"


def keys_of(texts: Iterable[str], column: ColumnElement[Any]) -> list[Any]:
    """Subject ids, kept as text, as values of the subject's own key; those that cannot be one are left out."""
    if isinstance(column.type, Uuid):
        return sorted(str(UUID(text)) for text in texts if _UUID.fullmatch(text))
    if isinstance(column.type, String):
        return sorted(texts)
    return sorted(int(text) for text in texts if text.lstrip("-").isdecimal())


class _Numbers(UserDefinedType[list[int]]):
    """Many integers as one ``BIGINT[]`` of PostgreSQL, written at once: the driver would look at every one by itself."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        """The database's name of the type."""
        return "BIGINT[]"

    def bind_processor(self, dialect: Dialect) -> Any:
        """Write the array; as a parameter of this very type, so that the planner sees how many there are."""
        return lambda numbers: "{" + ",".join(map(str, numbers)) + "}"


class _Spelt(UserDefinedType[list[int]]):
    """Many integers, spelt out in the statement; a parameter each costs SQLAlchemy and PyMySQL more than the rows cost."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The database's name of the type of each."""
        return "BIGINT"

    def literal_processor(self, dialect: Dialect) -> Any:
        """Write the list; one that is empty matches nothing.

        What a front end wrote into SQLite in place of a number is no key of any row.
        """
        return lambda numbers: ", ".join(int.__repr__(number) for number in numbers if isinstance(number, int)) or "NULL"


class _Texts(UserDefinedType[list[str]]):
    """Many texts as one ``TEXT[]``, for the same reason."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        """The database's name of the type."""
        return "TEXT[]"

    def bind_processor(self, dialect: Dialect) -> Any:
        """Write the array; ids hardly ever hold what must be escaped, so one look at all of them is enough."""

        def write(texts: list[str]) -> str:
            joined = '","'.join(texts)
            if "\\" in joined or joined.count('"') > 2 * (len(texts) - 1):
                joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
            return f'{{"{joined}"}}' if texts else "{}"

        return write


class among(FunctionElement[bool]):
    """Whether a column is one of many values.

    In PostgreSQL they travel as one array: a thousand placeholders cost more to write and to parse than the statement costs
    to run (4.4 ms against 0.6 ms for a thousand keys). SQLite and MariaDB are faster with plain ``IN``, where integers are
    spelt out and texts are a parameter each.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], values: Iterable[Any]) -> None:
        many = list(values)
        elsewhere: tuple[ColumnElement[Any], ...]
        if isinstance(column.type, String | Uuid):
            kind: Any = postgresql.ARRAY(column.type) if isinstance(column.type, Uuid) else _Texts()
            elsewhere = (column.in_(bindparam(None, many, type_=column.type, expanding=True, unique=True)),)
        else:
            kind = _Numbers()
            elsewhere = (column, bindparam(None, many, type_=_Spelt(), literal_execute=True, unique=True))
        # As one parameter: SQLAlchemy and psycopg would otherwise look at every value by itself.
        super().__init__(column == any_(literal(many, kind)), *elsewhere)

    def self_group(self, against: Any = None) -> Any:
        """Stand as it is: where there is no boolean type SQLAlchemy would add ``= 1``, and no index serves that."""
        return self


@compiles(among)
def _among(element: among, compiler: Any, **kw: Any) -> str:
    _, *elsewhere = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{elsewhere[0]} IN ({elsewhere[1]})" if len(elsewhere) == 2 else str(elsewhere[0])


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: Any, **kw: Any) -> str:
    as_array, *_ = element.clauses
    return str(compiler.process(as_array, **kw))


class beyond(FunctionElement[bool]):
    """Whether a row comes after a given one in the order of two columns.

    PostgreSQL and SQLite look the pair up in an index; MariaDB reads an index for it only when it is spelt out.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, columns: tuple[ColumnElement[Any], ColumnElement[Any]], row: tuple[Any, Any]) -> None:
        (first, second), (one, other) = (
            columns,
            (literal(value, column.type) for value, column in zip(row, columns, strict=True)),
        )
        spelt_out = or_(first > one, and_(first == one, second > other))
        super().__init__(tuple_(first, second) > tuple_(one, other), spelt_out)

    def self_group(self, against: Any = None) -> Any:
        """Stand as it is, as `among` does."""
        return self


@compiles(beyond)
def _beyond(element: beyond, compiler: Any, **kw: Any) -> str:
    as_pair, _ = element.clauses
    return str(compiler.process(as_pair, **kw))


@compiles(beyond, "mysql", "mariadb")
def _beyond_mariadb(element: beyond, compiler: Any, **kw: Any) -> str:
    _, spelt_out = element.clauses
    return f"({compiler.process(spelt_out, **kw)})"
