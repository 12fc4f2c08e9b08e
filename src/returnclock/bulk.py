"""Writes many rows of values that Python has worked out, as fast as the database takes them. Imports database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from returnclock.database import insert_new

Rows = Sequence[Mapping[str, Any]]


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Rows,
    *,
    unique: Sequence[ColumnElement[Any]] = (),
    returning: Sequence[ColumnElement[Any]] = (),
) -> Sequence[Row[Any]]:
    """Insert rows that all have the same columns, leaving out those whose ``unique`` key is taken.

    PostgreSQL gets them as one JSON document: ten thousand placeholders cost more to write and to parse than the rows cost
    to store. SQLite and MariaDB are fastest with the driver's own way, and so is what is to come back.

    Returns:
        the ``returning`` columns of the rows that were written.
    """
    if not rows:
        return ()
    if connection.dialect.name == "postgresql" and not unique and not returning:
        connection.execute(_from_document(table, tuple(rows[0])), {"document": written(rows)})
        return ()
    inserting = insert_new(connection, table, unique) if unique else insert(table)
    done = connection.execute(inserting.returning(*returning) if returning else inserting, [dict(row) for row in rows])
    return done.all() if returning else ()


@lru_cache
def _from_document(table: Table, names: tuple[str, ...]) -> Insert:
    columns = [table.c[name] for name in names]
    return insert(table).from_select(columns, select(*document(columns).c))


class RowsUpdate:
    """Gives rows, found by their ``id``, values of their own in the named columns, where the conditions hold.

    The statement is built once: that takes as long as PostgreSQL takes to change a dozen rows.
    """

    def __init__(self, table: Table, names: Sequence[str], *conditions: ColumnElement[bool]) -> None:
        self._names = names
        given = document([table.c[name] for name in ("id", *names)])
        at_once = update(table).where(table.c.id == given.c.id, *conditions)
        self._at_once = at_once.values({name: given.c[name] for name in names})
        each = update(table).where(table.c.id == bindparam("row_id"), *conditions)
        self._each = each.values({name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names})

    def run(self, connection: Connection, rows: Rows, **parameters: Any) -> None:
        """Do it; every row has the id and all named columns, and ``parameters`` are those of the conditions."""
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(self._at_once, {"document": written(rows), **parameters})
            return
        values = [{f"new_{name}": row[name] for name in self._names} | {"row_id": row["id"]} for row in rows]
        connection.execute(self._each, [one | parameters for one in values])


def document(columns: Sequence[ColumnElement[Any]]) -> TableValuedAlias:
    """Rows that are given as one JSON document (`written`, the parameter ``document``), read by PostgreSQL as a table."""
    given = [column(each.name, each.type) for each in columns]
    read = func.jsonb_to_recordset(cast(bindparam("document", type_=Text()), postgresql.JSONB()))
    return read.table_valued(*given, name="given").render_derived(with_types=True)


def written(rows: Rows) -> str:
    """The JSON document of these rows."""
    return orjson.dumps(rows).decode()
