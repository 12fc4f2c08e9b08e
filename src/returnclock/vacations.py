"""Sellers' vacations: which local days of a seller do not count, and by which announcement. Imports tables.

Not retroactive: the day of the announcement and those before it count. In a calendar year no more days are granted than the
cap allows, those announced first first. A vacation that was taken back grants no day after that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from returnclock.tables.interventions import vacations
from returnclock.tables.keys import among

_ONE_DAY = timedelta(days=1)
LONGEST = 366  # days of one vacation; a slip of the year must not be walked for a century


def announced(connection: Connection, seller_ids: Iterable[int]) -> dict[int, list[Any]]:
    """The vacations of those sellers, those that were announced first first."""
    ids = sorted(set(seller_ids))
    found: defaultdict[int, list[Any]] = defaultdict(list)
    if ids:
        chosen = select(vacations).where(among(vacations.c.seller_id, ids))
        for row in connection.execute(chosen.order_by(vacations.c.announced_at, vacations.c.id)):
            found[row.seller_id].append(row)
    return dict(found)


def days_granted(rows: Sequence[Any], local: ZoneInfo, cap: int) -> dict[date, int]:
    """The days of one seller's vacations that do not count, each with the vacation that grants it."""
    granted: dict[date, int] = {}
    in_year: defaultdict[int, int] = defaultdict(int)
    for row in rows:
        if isinstance(row.announced_at, datetime) and row.first_day is not None and row.last_day is not None:
            for day in _asked_for(row, local):
                if day not in granted and in_year[day.year] < cap:
                    granted[day] = row.id
                    in_year[day.year] += 1
    return granted


def _asked_for(row: Any, local: ZoneInfo) -> list[date]:
    first = max(row.first_day, row.announced_at.astimezone(local).date() + _ONE_DAY)
    last = row.last_day
    if isinstance(row.removed_at, datetime):
        last = min(last, row.removed_at.astimezone(local).date())
    return [first + _ONE_DAY * number for number in range(min((last - first).days + 1, LONGEST))]


def away_by_seller(connection: Connection, zones: Mapping[int, ZoneInfo], cap: int) -> dict[int, frozenset[date]]:
    """The days that do not count, of each of the sellers that has any; ``zones``: the zone of each of them."""
    of_all = announced(connection, zones)
    granted = {seller: frozenset(days_granted(rows, zones[seller], cap)) for seller, rows in of_all.items()}
    return {seller: days for seller, days in granted.items() if days}
