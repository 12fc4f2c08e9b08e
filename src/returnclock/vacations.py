"""Sellers' vacations: which local days of a seller do not count, and by which announcement. Imports tables and database.

Not retroactive: the day of the announcement and those before it count. What is granted hangs on when it was announced, and
not on when a worker came to it: ``announced_at`` is believed. In a calendar year no more days are granted than the
cap allows, those announced first first. A vacation that was taken back grants no day after that, and frees its later days.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from returnclock.database import all_rows
from returnclock.tables.expressions import utc
from returnclock.tables.interventions import is_removed, is_unsettled, vacations
from returnclock.tables.keys import among
from returnclock.tables.types import Unreadable

_ONE_DAY = timedelta(days=1)
LONGEST = 366  # days of one vacation; a slip of the year must not be walked for a century


def taken_back_since(now: Any) -> ColumnElement[bool]:
    """The condition that a vacation was taken back since it was applied: what it frees of the cap is still to be granted."""
    removed_at = utc(vacations.c.removed_at)
    return and_(is_removed, removed_at > vacations.c.applied_at, removed_at <= now)


def unapplied(now: Any) -> ColumnElement[bool]:
    """The condition that running deadlines were not yet moved for a vacation as it is now."""
    return or_(vacations.c.applied_at.is_(None), taken_back_since(now))


def waiting(now: Any) -> ColumnElement[bool]:
    """The condition that deadlines may have to be moved for a vacation, or are to be looked through once more."""
    return or_(is_unsettled, unapplied(now))


def announced(connection: Connection, seller_ids: Iterable[int]) -> dict[int, list[Any]]:
    """The vacations of those sellers, those that were announced first first."""
    ids = sorted(set(seller_ids))
    found: defaultdict[int, list[Any]] = defaultdict(list)
    if ids:
        chosen = select(vacations).where(among(vacations.c.seller_id, ids))
        for row in all_rows(connection, chosen.order_by(vacations.c.announced_at, vacations.c.id)):
            found[row.seller_id].append(row)
    return dict(found)


def wrong_with(row: Any) -> str | None:
    """Why a vacation grants no day, where a front end has written it so that it cannot; None for a sound one."""
    for name in ("first_day", "last_day", "announced_at"):
        written = getattr(row, name)
        if written is None:
            return f"its {name} is empty"
        if isinstance(written, Unreadable):
            return f'its {name} is "{written}", which is not a date'
    return "it ends before it begins" if row.last_day < row.first_day else None


def days_granted(rows: Sequence[Any], local: ZoneInfo, cap: int) -> dict[date, int]:
    """The days of one seller's vacations that do not count, each with the vacation that grants it.

    What a vacation that was taken back frees of the cap is granted to the others from the day after on: days that have
    counted are not taken out of the count afterwards.
    """
    valid = [row for row in rows if wrong_with(row) is None]
    granted: dict[date, int] = {}
    for since in sorted({date.min, *(day for row in valid if (day := _taken_back_on(row, local)))}):
        granted = {day: by for day, by in granted.items() if day <= since}
        in_year = Counter(day.year for day in granted)
        for row in valid:
            for day in _asked_for(row, local, since):
                if day > since and day not in granted and in_year[day.year] < cap:
                    granted[day] = row.id
                    in_year[day.year] += 1
    return granted


def _taken_back_on(row: Any, local: ZoneInfo) -> date | None:
    return row.removed_at.astimezone(local).date() if isinstance(row.removed_at, datetime) else None


def _asked_for(row: Any, local: ZoneInfo, since: date) -> list[date]:
    """The days that a vacation asks for, as far as it is known on the day ``since`` that it was taken back."""
    first = max(row.first_day, row.announced_at.astimezone(local).date() + _ONE_DAY)
    taken_back = _taken_back_on(row, local)
    last = min(row.last_day, taken_back) if taken_back is not None and taken_back <= since else row.last_day
    return [first + _ONE_DAY * number for number in range(min((last - first).days + 1, LONGEST))]


def days_announced(rows: Sequence[Any], local: ZoneInfo, cap: int) -> dict[date, datetime]:
    """The same days of one seller, each with when the vacation that grants it was announced."""
    announced_at = {row.id: row.announced_at for row in rows}
    return {day: announced_at[by] for day, by in days_granted(rows, local, cap).items()}
