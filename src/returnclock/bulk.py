"""Writes many rows of values that Python has worked out, as fast as the database takes them. Imports database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Row,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    select,
    update,
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


def update_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Give rows, each named by its ``id``, other values; all have the same columns, and are under the caller's lock.

    Returns:
        how many rows were changed.
    """
    if not rows:
        return 0
    names = [name for name in rows[0] if name != "id"]
    if connection.dialect.name == "postgresql":
        given = _document(table, rows)
        changing = update(table).where(table.c.id == given.c.id).values({name: given.c[name] for name in names})
        return connection.execute(changing).rowcount
    bound = {name: bindparam(f"to_{name}", type_=table.c[name].type) for name in names}
    changing = update(table).where(table.c.id == bindparam("of_id")).values(bound)
    values = [{"of_id": row["id"], **{f"to_{name}": row[name] for name in names}} for row in rows]
    return connection.execute(changing, values).rowcount


def _from_document(inserting: Insert, table: Table, rows: Sequence[Mapping[str, Any]]) -> Insert:
    given = _document(table, rows)
    chosen: Select[Any] = select(*given.c)
    return inserting.from_select(list(rows[0]), chosen)


def _document(table: Table, rows: Sequence[Mapping[str, Any]]) -> FromClause:
    """The rows as one JSON document that PostgreSQL reads back as a table."""
    document = cast(literal(json.dumps(rows, default=_plain), Text()), postgresql.JSONB())
    columns = [column(name, table.c[name].type) for name in rows[0]]
    return func.jsonb_to_recordset(document).table_valued(*columns, name="given").render_derived(with_types=True)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
