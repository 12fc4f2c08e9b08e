"""The triggers of the change feed on a shop's own tables: the SQL that puts them there, and that takes them away again.

They only note in ``clock_changes`` which row of the market changed; nothing of the shop is changed, and a bulk import in
PostgreSQL pays for one note a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, inspect, text

from returnclock.database import reading, writing
from returnclock.mapping.watching import Watch, condition
from returnclock.schema import NO_STATEMENT_LIMIT
from returnclock.tables.types import LONGEST_KEY

_EVENTS = ("insert", "update", "delete")
_INTO = "INSERT INTO clock_changes (table_name, subject_id)"
_PUT_THERE = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'clock\\_%' ESCAPE '\\'",
    "postgresql": "SELECT t.tgname, t.tgrelid::regclass::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
    " WHERE NOT t.tgisinternal AND t.tgname LIKE 'clock\\_%' AND p.proname LIKE 'clock\\_note\\_%'"
    " AND p.pronamespace = current_schema()::regnamespace",
    "mysql": "SELECT trigger_name, event_object_table FROM information_schema.triggers"
    " WHERE trigger_schema = database() AND trigger_name LIKE 'clock\\_%'",
}
_PUT_THERE["mariadb"] = _PUT_THERE["mysql"]


def attached(connection: Connection) -> dict[str, str]:
    """The triggers of ours that there are, each with its table."""
    return {row[0]: row[1] for row in connection.execute(text(_PUT_THERE[connection.dialect.name].replace(":", r"\:")))}


def wanted(watches: Sequence[Watch]) -> set[str]:
    """The names of the triggers that should be there."""
    return {f"clock_{watch.name}_{happening}" for watch in watches for happening in _EVENTS}


def without_views(connection: Connection, watches: Sequence[Watch]) -> tuple[list[Watch], list[str]]:
    """The watches whose tables take triggers, and the names of those that are views and take none."""
    views = {*inspect(connection).get_view_names()}
    if connection.dialect.name == "postgresql":
        views |= {*inspect(connection).get_materialized_view_names()}
    kept = [watch for watch in watches if watch.table not in views]
    return kept, sorted({watch.table for watch in watches if watch.table in views})


def plan(engine: Engine, watches: Sequence[Watch], *, remove: bool = False) -> tuple[list[str], list[str]]:
    """The statements that take away what is there and, unless ``remove``, put there what should be; and the views left out."""
    with reading(engine) as connection:
        statements = _removing(connection)
        kept, views = without_views(connection, watches)
    if not remove:
        statements += [statement for watch in kept for statement in _making(engine.dialect, watch)]
    return statements, views


def execute(engine: Engine, statements: Sequence[str]) -> None:
    """Do it, in one transaction where the database can."""
    with writing(engine) as connection:
        if connection.dialect.name in NO_STATEMENT_LIMIT:
            connection.execute(text(NO_STATEMENT_LIMIT[connection.dialect.name]))
        doubled = connection.dialect.identifier_preparer._double_percents  # drivers that read % as a placeholder
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%") if doubled else statement)


def _removing(connection: Connection) -> list[str]:
    on = connection.dialect.name == "postgresql"
    quote = connection.dialect.identifier_preparer.quote
    found = attached(connection)
    statements = [f"DROP TRIGGER {quote(name)}" + (f" ON {table}" if on else "") for name, table in sorted(found.items())]
    if on:
        functions = sorted({name.rsplit("_", 1)[0].replace("clock_", "clock_note_", 1) for name in found})
        statements += [f"DROP FUNCTION {quote(name)}()" for name in functions]
    return statements


def _making(dialect: Dialect, watch: Watch) -> list[str]:
    quote = partial(_quoted, dialect)
    if dialect.name == "postgresql":
        return _postgresql(watch, quote)
    return [_row_by_row(watch, happening, quote, dialect.name) for happening in _EVENTS]


def _quoted(dialect: Dialect, name: str) -> str:
    return ".".join(dialect.identifier_preparer.quote(part) for part in name.split("."))


def _row_by_row(watch: Watch, happening: str, quote: Any, dialect: str) -> str:
    sides = {"insert": ("NEW",), "update": ("NEW", "OLD"), "delete": ("OLD",)}[happening]
    matters = " OR ".join(f"({one})" for side in sides if (one := condition(watch, side, quote)))
    differs = "" if happening != "update" or not watch.columns else _differs(watch, quote, dialect)
    when = " AND ".join(f"({part})" for part in (matters, differs) if part)
    fits = _any if dialect == "sqlite" else _fits
    notes = "".join(f"{note};\n" for side in sides for note in _notes(watch, side, quote, happening, fits))
    head = f"CREATE TRIGGER clock_{watch.name}_{happening} AFTER {happening.upper()} ON {quote(watch.table)}"
    if dialect == "sqlite":
        return f"{head}\n" + (f"WHEN {when}\n" if when else "") + f"BEGIN\n{notes}END"
    body = f"IF {when} THEN\n{notes}END IF;\n" if when else notes
    return f"{head} FOR EACH ROW\nBEGIN\n{body}END"


def _differs(watch: Watch, quote: Any, dialect: str) -> str:
    same = "OLD.{0} IS NOT NEW.{0}" if dialect == "sqlite" else "NOT (OLD.{0} <=> NEW.{0})"
    columns = (*watch.columns, *([watch.key] if watch.key else []))
    return " OR ".join(same.format(quote(column)) for column in columns)


def _any(key: str) -> list[str]:
    return []


def _fits(key: str) -> list[str]:
    """That our column takes a key; a longer one would fail the shop's own statement. Reconcile tells of it."""
    return [f"char_length({key}) <= {LONGEST_KEY}"]


def _notes(watch: Watch, side: str, quote: Any, happening: str, fits: Callable[[str], list[str]]) -> list[str]:
    if watch.key is None:
        key = f"b.{quote(watch.base_key)}"
        joined = [f"b.{quote(mine)} = {side}.{quote(theirs)}" for theirs, mine in watch.on]
        return [f"{_INTO} SELECT '{watch.about}', {key} FROM {quote(watch.base)} b{_where(*joined, *fits(key))}"]
    key = quote(watch.key)
    moved = [f"NEW.{key} <> OLD.{key}"] if happening == "update" and side == "OLD" else []
    notes = [f"{_INTO} SELECT '{watch.about}', {side}.{key}{_where(*moved, *fits(f'{side}.{key}'))}"]
    if watch.order is not None:
        order = f"{side}.{quote(watch.order)}"
        notes.append(f"{_INTO} SELECT 'orders', {order}{_where(f'{order} IS NOT NULL', *fits(order))}")
    return notes


def _where(*conditions: str) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _postgresql(watch: Watch, quote: Any) -> list[str]:
    function = quote(f"clock_note_{watch.name}")
    here, gone = (_from_rows(watch, rows, quote, other) for rows, other in (("new_rows", "old_rows"), ("old_rows", "new_rows")))
    chosen = {
        "INSERT": _from_rows(watch, "new_rows", quote, ""),
        "DELETE": _from_rows(watch, "old_rows", quote, ""),
        "UPDATE": f"{here} UNION {gone}",
    }
    # The definer's rights: a front end needs none on our tables.
    making = (
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$\n"
        f"BEGIN\n  IF TG_OP = 'INSERT' THEN {_INTO} {chosen['INSERT']};\n"
        f"  ELSIF TG_OP = 'DELETE' THEN {_INTO} {chosen['DELETE']};\n"
        f"  ELSE {_INTO} {chosen['UPDATE']};\n  END IF;\n  RETURN NULL;\nEND $$"
    )
    rows = {"insert": "NEW TABLE AS new_rows", "delete": "OLD TABLE AS old_rows"}
    triggers = [
        f"CREATE TRIGGER clock_{watch.name}_{happening} AFTER {happening.upper()} ON {quote(watch.table)}"
        f" REFERENCING {rows.get(happening, 'OLD TABLE AS old_rows NEW TABLE AS new_rows')}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        for happening in _EVENTS
    ]
    return [making, *triggers]


def _from_rows(watch: Watch, rows: str, quote: Any, others: str) -> str:
    """The notes of one side of a statement; where ``others`` is the other side, only of the rows that differ from it."""
    # A table without a key of its own has no pairs of rows: what stands on one side only is what changed.
    columns = ", ".join(f"{{0}}.{quote(column)}" for column in (*watch.columns, *([watch.key] if watch.key else [])))
    row = f"ROW({columns})::text" if watch.columns else "({0})::text"
    changed = [f"NOT EXISTS (SELECT FROM {others} o WHERE {row.format('o')} = {row.format('n')})"] if others else []
    if others and watch.key:
        pair = f"o.{quote(watch.key)} = n.{quote(watch.key)}"
        changed = [f"NOT EXISTS (SELECT FROM {others} o WHERE {pair} AND {row.format('o')} = {row.format('n')})"]
    matters = [*([one] if (one := condition(watch, "n", quote)) else []), *changed]
    if watch.key is None:
        key = f"b.{quote(watch.base_key)}::text"
        joined = " AND ".join(f"b.{quote(mine)} = n.{quote(theirs)}" for theirs, mine in watch.on)
        of = f"SELECT '{watch.about}', {key} FROM {rows} n JOIN {quote(watch.base)} b ON {joined}"
        return of + _where(*matters, *_fits(key))
    key = f"n.{quote(watch.key)}::text"
    noted = f"SELECT '{watch.about}', {key} FROM {rows} n{_where(*matters, *_fits(key))}"
    if watch.order is not None:
        order = f"n.{quote(watch.order)}::text"
        noted += f" UNION SELECT 'orders', {order} FROM {rows} n{_where(*matters, *_fits(order))}"
    return noted
