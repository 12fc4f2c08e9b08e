"""Where the five tables of the market really are: in tables of our own making, or mapped onto those that a shop has.

Kinds are written once, over the logical tables of `tables.market`; a `Market` says what stands for each of their columns.
Built by `mapping` from the settings; everybody above may hold one. Imports tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Select
from sqlalchemy.sql import visitors

from returnclock.tables.forms import Form
from returnclock.tables.market import MARKET_TABLES


@dataclass(frozen=True)
class Lookup:
    """Another table that a column is read from.

    source: the table. on: how its rows belong to the row of the market. locks: whether a sweep locks those rows before it
    acts upon what they say.
    """

    source: FromClause
    on: ColumnElement[bool]
    locks: bool


@dataclass(frozen=True)
class Place:
    """One table of the market as it really is.

    name: what the contract calls it. source: the table, named so in every statement. key: its primary key.
    columns: what stands for each column of the contract.
    only: which rows of the source are meant; none where all are.
    shown: what the operator calls each column. lookups: which other tables a column is read from.
    written: the column of the source for each column of the contract that we may write.
    words: for such a column the shop's word for each of the contract's; forms: how it keeps an instant, where not in UTC.
    touched: columns that every change of ours sets to the moment of the change, in UTC.
    fixed: whether it is no table but one row that stands in the settings, or ``absent``: no row at all.
    """

    name: str
    source: FromClause
    key: ColumnElement[Any]
    columns: Mapping[str, ColumnElement[Any]]
    only: tuple[ColumnElement[bool], ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)
    lookups: Mapping[str, tuple[Lookup, ...]] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, ColumnElement[Any]]] = field(default_factory=dict)
    forms: Mapping[str, Form] = field(default_factory=dict)
    touched: tuple[str, ...] = ()
    fixed: bool = False
    absent: bool = False


@dataclass(frozen=True)
class Market:
    """The places of the market's tables by the names of the contract; ``mapped`` where they are the shop's own."""

    places: Mapping[str, Place]
    mapped: bool = False

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

    def __iter__(self) -> Iterator[Place]:
        return iter(self.places.values())

    def named(self, table: str, known: Collection[str]) -> str:
        """The contract's name of a table, where the shop's own stands for just one of those known; else the name as it is."""
        named = [place for place in self if place.shown.get("id", "").rpartition(".")[0] == table]
        meant = [place.name for place in named if place.name in known]
        return meant[0] if len(meant) == 1 else table

    def translate(self, expression: Any) -> Any:
        """An expression over the logical tables as one over the tables that there are."""
        if not self.mapped or expression is None:
            return expression
        replaced = visitors.replacement_traverse(expression, {}, self._instead)
        return visitors.cloned_traverse(replaced, {}, {"select": self._restrict})

    def _instead(self, element: Any, **_: Any) -> Any:
        if isinstance(element, Column):
            for name, table in MARKET_TABLES.items():
                if element.table is table:
                    return self[name].columns[element.name]
        return next((self[name].source for name, table in MARKET_TABLES.items() if element is table), None)

    def _restrict(self, select: Select[Any]) -> None:
        """Of a table that holds other things too, a subselect too sees only the rows that are meant."""
        parts = (*select._raw_columns, *select._where_criteria)
        sources = {*select._from_obj, *(source for part in parts for source in part._from_objects)} - {*select._correlate}
        for place in self:
            if place.source in sources:
                select._where_criteria += place.only


OWN = Market(
    {
        name: Place(name, table, table.c.id, {column.name: column for column in table.columns})
        for name, table in MARKET_TABLES.items()
    }
)
