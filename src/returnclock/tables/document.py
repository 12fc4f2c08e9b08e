"""A whole row as one JSON document, made by the database, in the same form in all three. Imports the types beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Table, func, literal_column

from returnclock.tables.types import Instant, read_instant

_Value = Callable[[ColumnElement[Any]], ColumnElement[Any]]

# Instants as `types.written` writes them, whichever the database; documents as such, not as text with quotes in it.
_MARIADB: tuple[str, _Value, _Value] = (
    "json_object",
    lambda column: func.date_format(column, "%Y-%m-%d %H:%i:%s.%fZ"),
    lambda column: func.json_extract(column, "$"),
)
_FORMS: dict[str, tuple[str, _Value, _Value]] = {
    "postgresql": (
        "jsonb_build_object",
        lambda column: func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD HH24:MI:SS.US"Z"'),
        lambda column: column,
    ),
    "sqlite": ("json_object", lambda column: column, func.json),
    "mysql": _MARIADB,
    "mariadb": _MARIADB,
}


def as_document(table: Table, dialect: str) -> ColumnElement[Any]:
    """An expression for a JSON object with all columns of the row, under their names; to be written, not read."""
    build, instant, document = _FORMS[dialect]

    def value(column: Column[Any]) -> ColumnElement[Any]:
        if isinstance(column.type, Instant):
            return instant(column)
        return document(column) if isinstance(column.type, JSON) else column

    words = [part for column in table.columns for part in (literal_column(f"'{column.name}'"), value(column))]
    made: ColumnElement[Any] = getattr(func, build)(*words)
    return made


def read_document(table: Table, document: Mapping[str, Any]) -> dict[str, Any]:
    """The row of which a document was made, in the types of its columns; None for a column that was not there yet."""
    return {
        column.name: read_instant(value) if isinstance(column.type, Instant) else value
        for column in table.columns
        for value in (document.get(column.name),)
    }
