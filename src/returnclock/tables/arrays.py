"""Many values as one parameter of a statement: what would otherwise be looked at one by one, by SQLAlchemy and by the driver.

Imports nothing of ours.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine, UserDefinedType

_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
UUID_TEXT = re.compile(r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")


class Numbers(UserDefinedType[list[int]]):
    """Many integers as one ``BIGINT[]`` of PostgreSQL, written at once: the driver would look at every one by itself."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        """The database's name of the type."""
        return "BIGINT[]"

    def bind_processor(self, dialect: Dialect) -> Any:
        """Write the array; as a parameter of this very type, so that the planner sees how many there are."""
        return lambda numbers: "{" + ",".join(map(str, numbers)) + "}"


class Spelt(UserDefinedType[list[int]]):
    """Many integers, spelt out in the statement; a parameter each costs SQLAlchemy and PyMySQL more than the rows cost."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The database's name of the type of each."""
        return "BIGINT"

    def literal_processor(self, dialect: Dialect) -> Any:
        """Write the list; one that is empty matches nothing.

        What a front end wrote into SQLite in place of a number is no key of any row.
        """

        def write(numbers: list[int]) -> str:
            try:
                return ", ".join(map(int.__repr__, numbers)) or "NULL"
            except TypeError:
                return write([number for number in numbers if isinstance(number, int)])

        return write


class Texts(UserDefinedType[list[str]]):
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


class Uuids(UserDefinedType[list[str]]):
    """Many UUIDs, in any spelling, as one ``UUID[]``. What is none is no key of any row, and PostgreSQL would refuse all."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        """The database's name of the type."""
        return "UUID[]"

    def bind_processor(self, dialect: Dialect) -> Any:
        """Write the array."""
        return lambda texts: "{" + ",".join(filter(UUID_TEXT.fullmatch, texts)) + "}"


class Packed(list[Any]):
    """Values that go to PostgreSQL as one binary array: as text it would take the driver up to twenty times as long."""


class ArrayOf(UserDefinedType[list[Any]]):
    """Many values of one type as one array of PostgreSQL; the driver writes them, and SQLAlchemy looks at none."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, element: TypeEngine[Any]) -> None:
        self.element = element

    def get_col_spec(self, **_: Any) -> str:
        """The database's name of the type."""
        return f"{self.element.compile(dialect=_POSTGRESQL)}[]"

    def bind_processor(self, dialect: Dialect) -> Any:
        """Mark the values as those that are packed."""
        return Packed
