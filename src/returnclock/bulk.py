"""Writes many rows of values that Python has worked out, as fast as the database takes them. Imports database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Insert,
    Row,
    Subquery,
    Table,
    Text,
    TextClause,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql

from returnclock.database import insert_new
from returnclock.tables.arrays import ArrayOf
from returnclock.tables.keys import among
from returnclock.tables.types import json_text

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

    PostgreSQL gets each column as one array: ten thousand placeholders cost more to write and to parse than the rows cost to
    store, and one JSON document of them all a quarter more than the arrays. SQLite and MariaDB are fastest with the driver's
    own way, and so is what is to come back.

    Returns:
        the ``returning`` columns of the rows that were written.
    """
    if not rows:
        return ()
    if connection.dialect.name == "postgresql" and not unique and not returning:
        connection.execute(_from_arrays(table, tuple(rows[0])), arrays([table.c[name] for name in rows[0]], rows))
        return ()
    inserting = insert_new(connection, table, unique) if unique else insert(table)
    done = connection.execute(inserting.returning(*returning) if returning else inserting, [dict(row) for row in rows])
    return done.all() if returning else ()


@lru_cache
def _from_arrays(table: Table, names: tuple[str, ...]) -> Insert:
    columns = [table.c[name] for name in names]
    return insert(table).from_select(columns, select(*given(columns).c))


class RowsUpdate:
    """Gives rows, found by their ``id``, values of their own in the named columns, where the conditions hold.

    The statement is built once: that takes as long as PostgreSQL takes to change a dozen rows.
    """

    def __init__(self, table: Table, names: Sequence[str], *conditions: ColumnElement[bool]) -> None:
        self._names = names
        self._columns = [table.c[name] for name in ("id", *names)]
        rows = given(self._columns)
        at_once = update(table).where(table.c.id == rows.c.id, *conditions)
        self._at_once = at_once.values({name: rows.c[name] for name in names})
        each = update(table).where(table.c.id == bindparam("row_id"), *conditions)
        self._each = each.values({name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names})

    def run(self, connection: Connection, rows: Rows, **parameters: Any) -> None:
        """Do it; every row has the id and all named columns, and ``parameters`` are those of the conditions."""
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(self._at_once, arrays(self._columns, rows) | parameters)
            return
        values = [{f"new_{name}": row[name] for name in self._names} | {"row_id": row["id"]} for row in rows]
        connection.execute(self._each, [one | parameters for one in values])


def delete_rows(connection: Connection, table: Table, ids: Sequence[int]) -> None:
    """Delete the rows with these ids, and wait for nobody who has others in hand."""
    if not ids:
        return
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(_deleting_by_key(table.name), {"ids": json_text(ids)})
    else:
        connection.execute(delete(table).where(among(table.c.id, ids)))


@lru_cache
def _deleting_by_key(table: str) -> TextClause:
    # A small table MariaDB would read from end to end, and wait for every locked row; a DELETE takes no hint of an index.
    ids = "JSON_TABLE(:ids, '$[*]' COLUMNS (id BIGINT PATH '$')) AS gone"
    return text(f"DELETE {table} FROM {ids} STRAIGHT_JOIN {table} ON {table}.id = gone.id")


def given(columns: Sequence[ColumnElement[Any]]) -> Subquery:
    """Rows that are given as `arrays`, one for each column, and read by PostgreSQL as a table."""
    bound = [bindparam(f"given_{each.name}", type_=ArrayOf(_carrier(each))) for each in columns]
    read = func.unnest(*bound).table_valued(*(column(each.name, _carrier(each)) for each in columns), name="arrays")
    read = read.render_derived()
    typed = (cast(read.c[each.name], postgresql.JSONB()) if _is_json(each) else read.c[each.name] for each in columns)
    return select(*(value.label(each.name) for value, each in zip(typed, columns, strict=True))).subquery("given")


def arrays(columns: Sequence[ColumnElement[Any]], rows: Rows) -> dict[str, list[Any]]:
    """The parameters for the `given` rows."""
    return {f"given_{each.name}": _array(each, rows) for each in columns}


def _array(of: ColumnElement[Any], rows: Rows) -> list[Any]:
    if _is_json(of):
        return [None if row[of.name] is None else json_text(row[of.name]) for row in rows]
    return [row[of.name] for row in rows]


def _carrier(of: ColumnElement[Any]) -> Any:
    """The type of a column's values on their way: JSON travels as text, for which the driver has no work to do."""
    return Text() if _is_json(of) else of.type


def _is_json(of: ColumnElement[Any]) -> bool:
    return isinstance(of.type, JSON)
