"""Forms: how a column keeps an instant that we write, and how that is known again. Imports the expressions beside it.

A column may keep less than it is given: seconds without a fraction, cut off or rounded as the database does it, or only the
day. Its type is not asked for: whatever a column has made of an instant lies less than a second from it, or is its day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, and_, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from returnclock.tables.expressions import later, utc
from returnclock.tables.instants import as_epoch, in_zone, of_epoch
from returnclock.tables.keys import as_text

_LENGTH_OF_A_DAY = len("2026-11-27")


class is_day_of(FunctionElement[bool]):
    """Whether a column keeps nothing but a day, and that of an instant; never in SQLite, which keeps all that it is given."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], moment: ColumnElement[Any]) -> None:
        super().__init__(as_text(column), as_text(moment))


@compiles(is_day_of)
def _is_day_of(element: is_day_of, compiler: Any, **kw: Any) -> str:
    column, moment = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({column} = substr({moment}, 1, {_LENGTH_OF_A_DAY}))"


@compiles(is_day_of, "sqlite")
def _is_day_of_sqlite(_element: is_day_of, _compiler: Any, **_kw: Any) -> str:
    return "0"


@dataclass(frozen=True)
class Form:
    """An instant in UTC, as our own columns keep it."""

    def written(self, moment: ColumnElement[Any]) -> ColumnElement[Any]:
        """What is written into the column for an instant."""
        return moment

    def keeps(self, column: ColumnElement[Any], moment: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether the column keeps what was written into it for an instant, as exactly as its type can.

        Compared is what was written, and not what is read: an hour that comes twice is read as the second one.
        """
        given = self.written(moment)
        return or_(_within_a_second(utc(column), given), is_day_of(column, given))


@dataclass(frozen=True)
class Local(Form):
    """The naive local time of a zone."""

    zone: str

    def written(self, moment: ColumnElement[Any]) -> ColumnElement[Any]:
        """The local time of an instant."""
        return in_zone(moment, self.zone)


@dataclass(frozen=True)
class Epoch(Form):
    """Whole seconds since 1970, as a number or as text."""

    def written(self, moment: ColumnElement[Any]) -> ColumnElement[Any]:
        """The seconds up to an instant."""
        return as_epoch(moment)

    def keeps(self, column: ColumnElement[Any], moment: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether the column, be it a number or text, keeps the seconds of an instant."""
        return _within_a_second(of_epoch(column), moment)


UTC = Form()


def _within_a_second(kept: ColumnElement[Any], moment: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(kept > later(moment, -1), kept < later(moment, 1))
