"""Writes many rows of values that Python has worked out, as fast as the database takes them. Imports database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Select,
    Table,
    TableValuedAlias,
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


class RowsUpdate:
    """Gives rows, found by their ``id``, values of their own in the named columns, where the conditions hold.

    The statement is built once: that takes as long as PostgreSQL takes to change a dozen rows.
    """

    def __init__(self, table: Table, names: Sequence[str], *conditions: ColumnElement[bool]) -> None:
        self._names = names
        given = _document(table, ["id", *names], bindparam("document", type_=Text()))
        at_once = update(table).where(table.c.id == given.c.id, *conditions)
        self._at_once = at_once.values({name: given.c[name] for name in names})
        each = update(table).where(table.c.id == bindparam("row_id"), *conditions)
        self._each = each.values({name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names})

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]], **parameters: Any) -> None:
        """Do it; every row has the id and all named columns, and ``parameters`` are those of the conditions."""
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(self._at_once, {"document": _json(rows), **parameters})
            return
        values = [{f"new_{name}": row[name] for name in self._names} | {"row_id": row["id"]} for row in rows]
        connection.execute(self._each, [one | parameters for one in values])


def _from_document(inserting: Insert, table: Table, rows: Sequence[Mapping[str, Any]]) -> Insert:
    given = _document(table, list(rows[0]), literal(_json(rows), Text()))
    chosen: Select[Any] = select(*(given.c[name] for name in rows[0]))
    return inserting.from_select(list(rows[0]), chosen)


def _document(table: Table, names: Sequence[str], document: ColumnElement[str]) -> TableValuedAlias:
    """Rows that a JSON document holds, as a table within a statement of PostgreSQL."""
    columns = [column(name, table.c[name].type) for name in names]
    given = func.jsonb_to_recordset(cast(document, postgresql.JSONB())).table_valued(*columns, name="given")
    return given.render_derived(with_types=True)


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
