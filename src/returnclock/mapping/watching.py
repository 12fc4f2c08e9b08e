"""What has to be watched on a shop's own tables so that no change is missed, told from the mapping.

A watch is one table: the market's row of which it speaks, and the columns that matter. `attaching` makes triggers of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from returnclock.settings import ColumnMapping, MarketSettings, TableMapping

# What only we write tells nobody anything.
_OURS_ALONE = {"return_expired_at", "escalated_at", "escalated_by", "late_since", "late_stage"}


@dataclass(frozen=True)
class Watch:
    """One table of the shop to be watched.

    name: of its triggers. about: the table of the contract whose row is noted. table: the shop's table.
    columns: those whose change matters; none where any may. where: which of its rows matter.
    key: the noted row's key in this very table, or None where it is found in ``base`` by ``on`` (its column -> ours).
    order: for a dispute the column that names its order, which is noted too.
    """

    name: str
    about: str
    table: str
    columns: tuple[str, ...]
    where: tuple[tuple[str, Any], ...] = ()
    key: str | None = None
    base: str = ""
    base_key: str = ""
    on: tuple[tuple[str, str], ...] = ()
    constants: tuple[tuple[str, Any], ...] = ()
    order: str | None = None


def watches(settings: MarketSettings) -> list[Watch]:
    """Everything to be watched, each table's own rows first."""
    found: list[Watch] = []
    for about, mapping in settings.tables.items():
        if mapping.table is not None:
            found.append(_own(about, mapping, settings))
            beside = _merged(_beside(about, mapping))
            found += [replace(watch, name=f"{about}_{number}") for number, watch in enumerate(beside, 1)]
    return found


def unwatched(settings: MarketSettings) -> list[str]:
    """The columns whose change no trigger can tell of, because they are read by SQL or through more than one table."""
    return [
        f"{about}.{name}"
        for about, mapping in settings.tables.items()
        for name, one in mapping.columns.items()
        if name not in _OURS_ALONE and (_looks_far(one) or (one.sql is not None and "select" in one.sql.lower()))
    ]


def _looks_far(one: ColumnMapping) -> bool:
    return any(not isinstance(mine, str) and mine.value is None for mine in one.on.values())


def _own(about: str, mapping: TableMapping, settings: MarketSettings) -> Watch:
    columns: list[str] = []
    for name, one in mapping.columns.items():
        if name not in _OURS_ALONE:
            columns += [one.column] if one.column is not None and one.table is None else []
            columns += [mine for mine in one.on.values() if isinstance(mine, str) and mine != mapping.key]
    by_sql = isinstance(mapping.where, str) or any(one.sql is not None for one in mapping.columns.values())
    where = () if isinstance(mapping.where, str) else tuple(mapping.where.items())
    columns += [column for column, _ in where]
    order = mapping.columns.get("order_id") if about == "disputes" else None
    return Watch(
        about,
        about,
        str(mapping.table),
        () if by_sql else tuple(column for column in dict.fromkeys(columns) if column != mapping.key),
        where,
        key=mapping.key,
        order=order.column if order is not None and order.table is None else None,
    )


def _beside(about: str, mapping: TableMapping) -> Iterator[Watch]:
    for name, one in mapping.columns.items():
        if one.table is not None and one.column is not None and name not in _OURS_ALONE and not _looks_far(one):
            on = tuple((theirs, mine) for theirs, mine in one.on.items() if isinstance(mine, str))
            constants = tuple((theirs, mine.value) for theirs, mine in one.on.items() if isinstance(mine, ColumnMapping))
            columns = dict.fromkeys((one.column, *one.on, *one.where))
            yield Watch(
                name, about, one.table, tuple(columns), tuple(one.where.items()),
                base=str(mapping.table), base_key=mapping.key, on=on, constants=constants,
            )  # fmt: skip


def _merged(found: Iterable[Watch]) -> list[Watch]:
    """Two columns that are read from the same rows are one watch."""
    merged: dict[Any, Watch] = {}
    for watch in found:
        same = (watch.table, watch.on, watch.constants, repr(watch.where))
        before = merged.get(same)
        columns = dict.fromkeys((*(before.columns if before else ()), *watch.columns))
        merged[same] = replace(watch, columns=tuple(columns))
    return list(merged.values())


def condition(watch: Watch, row: str, quote: Any) -> str:
    """Which rows matter, in SQL over one row (``NEW``, ``n``); empty where all do."""
    parts = [_compared(f"{row}.{quote(column)}", wanted) for column, wanted in watch.where]
    parts += [f"{row}.{quote(column)} = {literal(value)}" for column, value in watch.constants]
    return " AND ".join(parts)


def _compared(column: str, wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return f"({column} IS NULL OR {column} NOT IN ({', '.join(literal(one) for one in wanted['not'])}))"
    return f"{column} IN ({', '.join(literal(one) for one in wanted)})"


def literal(value: Any) -> str:
    """A constant of the settings in SQL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
