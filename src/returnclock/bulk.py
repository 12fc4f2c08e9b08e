"""Writes many rows of values that Python has worked out, as fast as the database takes them. Imports database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Row,
    Table,
    Text,
    cast,
    column,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql

from returnclock.database import insert_new


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    unique: Sequence[ColumnElement[Any]] = (),
    returning: Sequence[ColumnElement[Any]] = (),
) -> Sequence[Row[Any]]:
    """Insert rows that all have the same columns, leaving out those whose ``unique`` key is taken.

    PostgreSQL gets them as one JSON document: ten thousand placeholders cost more to write and to parse than the rows cost
    to store. SQLite and MariaDB are fastest with the driver's own way.

    Returns:
        the ``returning`` columns of the rows that were written.
    """
    if not rows:
        return ()
    inserting = insert_new(connection, table, unique) if unique else insert(table)
    if connection.dialect.name == "postgresql":
        inserting = _from_document(inserting, table, rows)
        done = connection.execute(inserting.returning(*returning) if returning else inserting)
    else:
        done = connection.execute(inserting.returning(*returning) if returning else inserting, [dict(row) for row in rows])
    return done.all() if returning else ()


def document(rows: Sequence[Mapping[str, Any]], columns: Sequence[ColumnElement[Any]]) -> FromClause:
    """The rows as one JSON document that PostgreSQL reads back as a table of these columns."""
    written = cast(literal(orjson.dumps(rows).decode(), Text()), postgresql.JSONB())
    given = [column(each.name, each.type) for each in columns]
    return func.jsonb_to_recordset(written).table_valued(*given, name="given").render_derived(with_types=True)


def _from_document(inserting: Insert, table: Table, rows: Sequence[Mapping[str, Any]]) -> Insert:
    columns = [table.c[name] for name in rows[0]]
    given = document(rows, columns)
    return inserting.from_select(columns, select(*given.c))
