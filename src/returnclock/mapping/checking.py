"""Says what a shop's database lacks for its mapping: what is missing, mistyped, unindexed, unreadable or not writable.

Everything is asked of the database itself, without changing a row: whether a column can be written by explaining the UPDATE,
whether a row can be locked by locking none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Date as SQLDate
from sqlalchemy import DateTime, Engine, Inspector, Integer, String, Uuid, inspect, literal_column, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from returnclock.database import reading
from returnclock.mapping.attaching import attached, wanted, without_views
from returnclock.mapping.watching import literal, watches
from returnclock.market import Market, Place
from returnclock.schema import hidden_triggers
from returnclock.settings import ColumnMapping, MarketSettings, TableMapping
from returnclock.sqlstates import reason_of
from returnclock.tables.market import MARKET_TABLES
from returnclock.tables.types import Instant

_LATEST_ROWS = 1000  # so many are looked at for words that the mapping does not know


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with the mapping; ``grave`` where deadlines cannot be enforced as long as it is."""

    grave: bool
    said: str


def check_mapping(engine: Engine, settings: MarketSettings, market: Market) -> list[Finding]:
    """Everything that is wrong, the grave first."""
    found = list(_found(_Look(engine, inspect(engine)), settings, market))
    return sorted(dict.fromkeys(found), key=lambda finding: not finding.grave)


@dataclass
class _Look:
    engine: Engine
    inspector: Inspector

    def columns(self, table: str) -> dict[str, Any] | None:
        schema, _, name = table.rpartition(".")
        try:
            return {one["name"]: one["type"] for one in self.inspector.get_columns(name, schema=schema or None)}
        except NoSuchTableError:
            return None

    def is_view(self, table: str) -> bool:
        return table in self.inspector.get_view_names()

    def indexed(self, table: str) -> set[str]:
        """The columns with which an index begins; all of them for a view, which has its tables'."""
        if self.is_view(table):
            return set(self.columns(table) or ())
        schema, _, name = table.rpartition(".")
        where = {"schema": schema or None}
        keys: list[Sequence[str | None]] = [self.inspector.get_pk_constraint(name, **where)["constrained_columns"]]
        keys += [one["column_names"] for one in self.inspector.get_indexes(name, **where)]
        keys += [one["column_names"] for one in self.inspector.get_unique_constraints(name, **where)]
        return {key[0] for key in keys if key and key[0] is not None}

    def refusal(self, statement: Any) -> str | None:
        """Why the database refuses a statement that changes nothing."""
        try:
            with reading(self.engine) as connection:
                connection.execute(statement)
        except SQLAlchemyError as fault:
            return reason_of(fault)
        return None

    def quote(self, name: str) -> str:
        return ".".join(self.engine.dialect.identifier_preparer.quote(part) for part in name.split("."))


def _found(look: _Look, settings: MarketSettings, market: Market) -> Iterator[Finding]:
    for name, mapping in settings.tables.items():
        if mapping.table is not None:
            missing = list(_missing(look, name, mapping))
            yield from missing
            if not missing:
                yield from _of_table(look, name, mapping, settings, market[name])
    if settings.changes == "triggers":
        with reading(look.engine) as connection:
            kept, _ = without_views(connection, watches(settings))
            missing_triggers = wanted(kept) - set(attached(connection))
            missing_triggers -= hidden_triggers(connection, missing_triggers)
        if missing_triggers:
            said = 'the triggers of the change feed are not attached: run "returnclock attach", or set [market] changes to'
            yield Finding(False, f'{said} "reconcile"; until then changes are found by reconcile only')


def _missing(look: _Look, name: str, mapping: TableMapping) -> Iterator[Finding]:
    where = mapping.where if not isinstance(mapping.where, str) else ()
    mine = [mapping.key, *where, *mapping.touches]
    for _, one in _all(mapping):
        mine += [one.column] if one.column is not None and one.table is None else []
        mine += [column for column in one.on.values() if isinstance(column, str)]
    asked = [(str(mapping.table), mine)]
    asked += [(one.table, [str(one.column), *one.on, *one.where]) for _, one in _all(mapping) if one.table is not None]
    for table, columns in asked:
        there = look.columns(table)
        if there is None:
            known = (*look.inspector.get_table_names(), *look.inspector.get_view_names())
            yield Finding(True, f"[market.{name}]: there is no table {table}{_near(table, known)}")
            continue
        for column in dict.fromkeys(columns):
            if column not in there:
                yield Finding(True, f"[market.{name}]: {table} has no column {column}{_near(column, there)}")


def _all(mapping: TableMapping) -> Iterator[tuple[str, ColumnMapping]]:
    """Each column's mapping, and those within it."""
    waiting = list(mapping.columns.items())
    while waiting:
        name, one = waiting.pop(0)
        yield name, one
        waiting += [(name, mine) for mine in one.on.values() if isinstance(mine, ColumnMapping)]


def _near(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _of_table(look: _Look, name: str, mapping: TableMapping, settings: MarketSettings, place: Place) -> Iterator[Finding]:
    mapped = [column.label(word) for word, column in place.columns.items() if word == "id" or word in mapping.columns]
    unreadable = look.refusal(select(*mapped).where(*place.only).limit(1))
    if unreadable:
        yield Finding(True, f"[market.{name}]: {mapping.table} cannot be read as mapped: {unreadable}")
    yield from _types(look, name, mapping, settings)
    yield from _indexes(look, name, mapping)
    yield from _rights(look, name, mapping)
    if not unreadable:
        yield from _unknown_words(look, name, mapping, place)


def _types(look: _Look, name: str, mapping: TableMapping, settings: MarketSettings) -> Iterator[Finding]:
    there = look.columns(str(mapping.table)) or {}
    is_type = {"integer": Integer, "text": String, "uuid": Uuid}[mapping.key_type]
    loose = look.engine.dialect.name == "sqlite" or (mapping.key_type == "uuid" and look.engine.dialect.name != "postgresql")
    if not loose and not isinstance(there[mapping.key], is_type):
        said = (
            f"[market.{name}]: the key {mapping.table}.{mapping.key} is {there[mapping.key]}; key_type says {mapping.key_type}"
        )
        yield Finding(True, said)
    collation = getattr(there[mapping.key], "collation", None)
    if look.engine.dialect.name in ("mysql", "mariadb") and collation and collation != mapping.key_collation:
        said = f'[market.{name}]: write key_collation = "{collation}", that of {mapping.key}, or no index serves the joins'
        yield Finding(False, said)
    for column, one in mapping.columns.items():
        if isinstance(MARKET_TABLES[name].c[column].type, Instant) and one.column is not None and one.form == "instant":
            table = one.table or str(mapping.table)
            yield from _date(look, f"[market.{name}.columns] {column}", table, one, settings)


def _date(look: _Look, where: str, table: str, one: ColumnMapping, settings: MarketSettings) -> Iterator[Finding]:
    kind = (look.columns(table) or {})[str(one.column)]
    if look.engine.dialect.name == "sqlite":
        return
    if not isinstance(kind, DateTime | SQLDate):
        yield Finding(True, f'{where}: {table}.{one.column} is {kind}, no date; form = "epoch" reads seconds since 1970')
    zone = one.time_zone or settings.time_zone
    aware = getattr(kind, "timezone", False) or isinstance(kind, mysql.TIMESTAMP)
    if aware and zone not in (None, "UTC"):
        yield Finding(True, f'{where}: {table}.{one.column} knows its zone; write time_zone = "UTC" for it, not {zone}')


def _indexes(look: _Look, name: str, mapping: TableMapping) -> Iterator[Finding]:
    table = str(mapping.table)
    begin = look.indexed(table)
    needed = {mapping.key: "rows are found by it"}
    order = mapping.columns.get("order_id")
    if name == "disputes" and order is not None and order.column is not None and order.table is None:
        needed[order.column] = "the disputes of an order are found by it"
    for column, why in needed.items():
        if column not in begin:
            yield Finding(False, f"[market.{name}]: {table}.{column} is unindexed; {why}")
    for column, one in _all(mapping):
        if one.table is not None and not set(one.on) & look.indexed(one.table):
            said = f"{one.table} has no index that begins with {' or '.join(one.on)}; every look reads the whole table"
            yield Finding(False, f"[market.{name}.columns] {column}: {said}")


def _rights(look: _Look, name: str, mapping: TableMapping) -> Iterator[Finding]:
    table = look.quote(str(mapping.table))
    for column, value in _written(mapping):
        mine = look.quote(column)
        changing = text(f"EXPLAIN UPDATE {table} SET {mine} = {value or mine} WHERE 1 = 0".replace(":", r"\:"))
        if reason := look.refusal(changing):
            yield Finding(True, f"[market.{name}] writes: {mapping.table}.{column} cannot be written: {reason}")
    if look.engine.dialect.name == "sqlite":
        return
    if name not in ("sellers", "buyers") and (reason := look.refusal(text(f"SELECT 1 FROM {table} WHERE 1 = 0 FOR UPDATE"))):
        yield Finding(True, f"[market.{name}]: rows of {mapping.table} cannot be locked: {reason}")
    share = "FOR SHARE" if look.engine.dialect.name == "postgresql" else "LOCK IN SHARE MODE"
    for column, one in mapping.columns.items():
        if one.table is not None and one.locks and name not in ("sellers", "buyers") and column in _DECIDING:
            reason = look.refusal(text(f"SELECT 1 FROM {look.quote(one.table)} WHERE 1 = 0 {share}"))
            if reason:
                said = f"rows of {one.table} cannot be locked: {reason}. Allow it, or set locks = false"
                yield Finding(True, f"[market.{name}.columns] {column}: {said}")


# The columns by which kinds decide whether a deadline runs, and from when: their rows are locked.
_DECIDING = {
    *("status", "return_status", "delivered_at", "opened_at", "awaiting_seller_since", "seller_replied_at", "accepted_at"),
    *("return_shipped_at", "kind", "started_at", "inspected_at", "processed_at", "completed_at"),
}


def _written(mapping: TableMapping) -> Iterator[tuple[str, str | None]]:
    for column in mapping.writes:
        one = mapping.columns[column]
        yield str(one.column), None
        for word in ("escalated", "expired", "closed"):
            if one.values.get(word):
                yield str(one.column), literal(one.values[word][0])
    for column in mapping.touches:
        yield column, None


def _unknown_words(look: _Look, name: str, mapping: TableMapping, place: Place) -> Iterator[Finding]:
    for column, one in mapping.columns.items():
        if one.values and one.otherwise is None and one.column is not None and one.table is None:
            raw: Any = literal_column(f"{name}.{look.quote(one.column)}").label("raw")
            newest = select(raw).select_from(place.source).where(*place.only).order_by(place.key.desc()).limit(_LATEST_ROWS)
            known = {str(value) for values in one.values.values() for value in values}
            with reading(look.engine) as connection:
                found = {row.raw for row in connection.execute(newest) if row.raw is not None}
            unknown = sorted(str(value) for value in found if not isinstance(value, bool) and str(value) not in known)
            if unknown:
                said = f"{mapping.table}.{one.column} also holds {', '.join(map(repr, unknown[:5]))}, which no word stands for"
                yield Finding(False, f"[market.{name}.columns] {column}: {said}; no deadline runs for those rows")
