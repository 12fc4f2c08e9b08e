"""SQL expressions over instants and rows that read the same in every database. Imports the types beside it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, Integer, and_, literal, literal_column, null, or_, tuple_, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from returnclock.tables.types import Instant, Unreadable, read_instant, sqlite_utc, written


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


class beyond(FunctionElement[bool]):
    """Whether a row comes after a given one in the order of two columns.

    PostgreSQL and SQLite look the pair up in an index; MariaDB reads an index for it only when it is spelt out. The row is two
    values, or two parameters that get theirs at execution.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, columns: tuple[ColumnElement[Any], ColumnElement[Any]], row: tuple[Any, Any]) -> None:
        (first, second), (one, other) = (
            columns,
            (_given(value, column) for value, column in zip(row, columns, strict=True)),
        )
        spelt_out = or_(first > one, and_(first == one, second > other))
        super().__init__(tuple_(first, second) > tuple_(one, other), spelt_out)

    def self_group(self, against: Any = None) -> Any:
        """Stand as it is, as `among` does."""
        return self


def _given(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return value if isinstance(value, ColumnElement) else literal(value, column.type)


@compiles(beyond)
def _beyond(element: beyond, compiler: Any, **kw: Any) -> str:
    as_pair, _ = element.clauses
    return str(compiler.process(as_pair, **kw))


@compiles(beyond, "mysql", "mariadb")
def _beyond_mariadb(element: beyond, compiler: Any, **kw: Any) -> str:
    _, spelt_out = element.clauses
    return f"({compiler.process(spelt_out, **kw)})"
