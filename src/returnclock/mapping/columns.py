"""What stands for each column of the contract: a column of the shop's, a constant, a word for its word, or a look elsewhere.

Every expression is built once, when the process starts; statements are then made of them as of any column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    MetaData,
    String,
    Table,
    Uuid,
    and_,
    case,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.elements import Null
from sqlalchemy.types import NullType, TypeEngine

from returnclock.market import OWN, Lookup, Market, Place
from returnclock.settings import ColumnMapping, MarketSettings, TableMapping
from returnclock.tables.expressions import shop_sql, unknown
from returnclock.tables.forms import Epoch, Form, Local
from returnclock.tables.instants import of_epoch, of_zone
from returnclock.tables.keys import as_text
from returnclock.tables.market import MARKET_TABLES
from returnclock.tables.types import BigId, Instant, Key

# What a shop that has no such column means by that: its orders are open until a dispute says otherwise.
_MEANT = {"orders.return_status": "open"}
_UUID = Uuid(as_uuid=False).with_variant(String(191), "sqlite")
_UUIDS = _UUID.with_variant(String(191), "mysql", "mariadb")
_KEY_TYPES: dict[str, TypeEngine[Any]] = {"integer": BigId, "text": Key, "uuid": _UUIDS}


def market_of(settings: MarketSettings) -> Market:
    """The market as the settings map it; our own tables where they map nothing."""
    if not settings.tables:
        return OWN
    places = {}
    for name in MARKET_TABLES:
        mapping = settings.tables.get(name)
        places[name] = _nothing(name, settings) if mapping is None else _place(name, mapping, settings)
    return Market(places, mapped=True)


def _nothing(name: str, settings: MarketSettings) -> Place:
    """A table that the shop has not: no row of it is ever found."""
    of_order = _key_type(settings.tables["orders"]) if "orders" in settings.tables else BigId
    types = {column.name: column.type for column in MARKET_TABLES[name].columns} | {"order_id": of_order}
    columns = [unknown(types[column.name]).label(column.name) for column in MARKET_TABLES[name].columns]
    empty = select(*columns).where(false()).subquery(name)
    return Place(name, empty, empty.c.id, {column.name: column for column in empty.c}, fixed=True, absent=True)


def _constant(name: str, mapping: TableMapping) -> Place:
    """A party that is the same for every order, such as the one seller of a shop: one row that stands in the settings."""
    given = {column: one.value for column, one in mapping.columns.items()}
    columns = []
    for column in MARKET_TABLES[name].columns:
        value = 1 if column.name == "id" else given.get(column.name)
        columns.append((unknown(column.type) if value is None else literal(value, column.type)).label(column.name))
    row = select(*columns).subquery(name)
    return Place(name, row, row.c.id, {column.name: column for column in row.c}, fixed=True)


def _place(name: str, mapping: TableMapping, settings: MarketSettings) -> Place:
    if mapping.table is None:
        return _constant(name, mapping)
    base = _Base(name, mapping, settings)
    logical = MARKET_TABLES[name]
    columns: dict[str, ColumnElement[Any]] = {"id": base.source.c[mapping.key]}
    shown = {"id": f"{mapping.table}.{mapping.key}"}
    lookups = {}
    for column in logical.columns:
        if column.name == "id":
            continue
        one = _mapped(name, column.name, mapping, settings)
        columns[column.name] = base.expression(column, one)
        shown[column.name] = _shown(mapping, one) or f"{name}.{column.name}"
        lookups[column.name] = tuple(base.lookups.pop(column.name, ()))
    written = {column: str(mapping.columns[column].column) for column in mapping.writes}
    return Place(
        name,
        base.source,
        columns["id"],
        columns,
        only=base.only(),
        shown=shown,
        lookups=lookups,
        written=written,
        words={column: _words(mapping.columns[column]) for column in mapping.writes if mapping.columns[column].values},
        forms={column: form for column in mapping.writes if (form := base.form(mapping.columns[column])) is not None},
        touched=mapping.touches,
    )


def _mapped(table: str, column: str, mapping: TableMapping, settings: MarketSettings) -> ColumnMapping:
    for party in ("seller", "buyer"):
        if (table, column) == ("orders", f"{party}_id"):
            of = settings.tables.get(f"{party}s")
            if of is None or of.table is None:  # the same one for all, who may be nobody
                return ColumnMapping(value=1)
    return mapping.columns.get(column) or ColumnMapping(value=_MEANT.get(f"{table}.{column}"))


def _shown(mapping: TableMapping, one: ColumnMapping) -> str:
    """What the operator calls a column, to be written into; empty where the shop has none."""
    return f"{one.table or mapping.table}.{one.column}" if one.column else ""


def _words(one: ColumnMapping) -> dict[str, ColumnElement[Any]]:
    return {word: _plain(values[0]) for word, values in one.values.items() if values}


def _plain(value: str | int | bool | None) -> ColumnElement[Any]:
    """A constant of the settings as it stands: without a type of its own, so that it fits a column of any."""
    if value is None:
        return null()
    if isinstance(value, bool):
        return literal_column("true" if value else "false")
    return literal_column(str(value)) if isinstance(value, int) else literal_column("'" + value.replace("'", "''") + "'")


def _table(name: str, columns: Mapping[str, TypeEngine[Any]], key: str | None = None) -> Table:
    schema, _, plain = name.rpartition(".")
    listed = [Column(column, type_, primary_key=column == key) for column, type_ in columns.items()]
    return Table(plain, MetaData(), *listed, schema=schema or None)


class _Base:
    """The shop's table that stands for one of the contract, and the expressions over it."""

    def __init__(self, name: str, mapping: TableMapping, settings: MarketSettings) -> None:
        self.name, self.mapping, self.settings = name, mapping, settings
        self.lookups: dict[str, list[Lookup]] = {}
        types: dict[str, TypeEngine[Any]] = {column: NullType() for column in _columns_of(mapping)}
        for column, one in mapping.columns.items():
            if one.column is not None and one.table is None and not one.values:
                types[one.column] = MARKET_TABLES[name].c[column].type
        types |= dict.fromkeys(mapping.touches, Instant())
        types[mapping.key] = _key_type(mapping)
        table = _table(str(mapping.table), types, mapping.key)
        # Named as the contract names it: one table of a shop may stand for several, and the shop's SQL can rely on the name.
        self.source = table.alias(name)

    def only(self) -> tuple[ColumnElement[bool], ...]:
        where = self.mapping.where
        if isinstance(where, str):
            return (shop_sql(where, self.source.c[self.mapping.key]),)
        return tuple(_condition(self.source.c[column], wanted) for column, wanted in where.items())

    def form(self, one: ColumnMapping) -> Form | None:
        """How a column keeps an instant, where that is not in UTC."""
        zone = self._zone(one)
        if one.form == "epoch":
            return Epoch()
        return Local(zone) if zone and not one.values else None

    def _zone(self, one: ColumnMapping) -> str | None:
        zone = one.time_zone or self.settings.time_zone
        return None if zone == "UTC" else zone  # a naive date is read as UTC in any case

    def expression(self, logical: Column[Any], one: ColumnMapping) -> ColumnElement[Any]:
        """What stands for a column of the contract, in the contract's own words and as UTC."""
        read = self._read(logical, one)
        if isinstance(read, Null):
            return unknown(logical.type)
        if isinstance(logical.type, Instant) and one.value is None:
            if one.form == "epoch":
                read = of_epoch(read)
            elif self._zone(one):
                read = of_zone(read, str(self._zone(one)))
            if one.table is not None:
                read = self._taken(logical, one, read)
        elif one.table is not None:
            read = self._taken(logical, one, read)
        if one.values:
            words = [(_plain(value), _plain(word)) for word, values in one.values.items() for value in values]
            read = case(*words, value=read, else_=_plain(one.otherwise))
        if logical.name == "number":
            return as_text(read)  # people's number of an order is a number in many a shop
        return type_coerce(read, logical.type) if not isinstance(read, Column) else read

    def _read(self, logical: Column[Any], one: ColumnMapping) -> ColumnElement[Any]:
        if one.sql is not None:
            return shop_sql(one.sql, self.source.c[self.mapping.key])
        if one.column is None:
            # Of a row that is not there, which an outer join tells of, nothing is known.
            here = self.source.c[self.mapping.key].is_not(None)
            return null() if one.value is None else case((here, literal(one.value, logical.type)))
        if one.table is not None:
            types: dict[str, TypeEngine[Any]] = dict.fromkeys((one.column, *one.on, *one.where), NullType())
            types[one.column] = NullType() if one.values else logical.type
            # Of each column its own alias: two may be read from the same table in one statement.
            self._other: FromClause = _table(one.table, types).alias(f"{self.name}_{logical.name}")
            return self._other.c[one.column]
        return self.source.c[one.column]

    def _taken(self, logical: Column[Any], one: ColumnMapping, read: ColumnElement[Any]) -> ColumnElement[Any]:
        """The value of the row elsewhere that belongs to ours, or the one that is taken of several."""
        other = self._other
        belongs = [other.c[theirs] == self._own(logical, mine, theirs) for theirs, mine in one.on.items()]
        wanted = [_condition(other.c[column], values) for column, values in one.where.items()]
        self.lookups.setdefault(logical.name, []).append(Lookup(other, and_(*belongs, *wanted), one.locks))
        taken: ColumnElement[Any] = {
            "one": read,
            "latest_known": func.max(read),
            "earliest": func.min(read),
            # Unknown while one of them is: what has not arrived has not begun.
            "latest": case((func.count() == func.count(read), func.max(read))),
        }[one.take]
        chosen = select(taken).select_from(other).where(*belongs, *wanted).correlate(self.source)
        return (chosen.limit(1) if one.take == "one" else chosen).scalar_subquery()

    def _own(self, logical: Column[Any], mine: str | ColumnMapping, theirs: str) -> ColumnElement[Any]:
        if isinstance(mine, str):
            return self.source.c[mine]
        if mine.value is not None:
            return _plain(mine.value)
        kept, shadow = self._other, Column(f"{logical.name}_{theirs}", NullType())
        read = self._read(shadow, mine)
        read = self._taken(logical, mine, read) if mine.table is not None else read
        self._other = kept
        return read


def _key_type(mapping: TableMapping) -> TypeEngine[Any]:
    if not mapping.key_collation or mapping.key_type == "integer":
        return _KEY_TYPES[mapping.key_type]
    elsewhere: TypeEngine[Any] = String(191) if mapping.key_type == "text" else _UUID
    return elsewhere.with_variant(mysql.VARCHAR(191, collation=mapping.key_collation), "mysql", "mariadb")


def _columns_of(mapping: TableMapping) -> list[str]:
    """Every column of the shop's table that the mapping mentions."""
    found = [mapping.key, *mapping.touches, *(mapping.where if isinstance(mapping.where, Mapping) else ())]
    waiting = list(mapping.columns.values())
    while waiting:
        one = waiting.pop()
        if one.table is None and one.column is not None:
            found.append(one.column)
        for mine in one.on.values():
            if isinstance(mine, str):
                found.append(mine)
            else:
                waiting.append(mine)
    return list(dict.fromkeys(found))


def _condition(column: ColumnElement[Any], wanted: Any) -> ColumnElement[bool]:
    """``state = 'a'``, one of several, or neither of them; NULL is neither."""
    if isinstance(wanted, Mapping):
        return or_(column.is_(None), column.not_in([_plain(value) for value in wanted["not"]]))
    return column.in_([_plain(value) for value in wanted]) if wanted else true()
