"""Forecast: how many deadlines fall due on each local day to come, by kind and party. Read-only. Imports the nouns.

Each kind is counted from the index of what runs, between the days' own boundaries in the market's zone, so a day of 23 or 25
hours is counted whole, and the cost is that of the deadlines which fall due; or of so many a day, for whoever asks often.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from returnclock.batches import counted
from returnclock.calendars import zone
from returnclock.errors import BadPolicy
from returnclock.localtime import end_of_local_day
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import deadlines, is_running


@dataclass(frozen=True)
class Day:
    """One local day, from its first instant or from now to its end (UTC). ``closed``: why it is no business day, or None."""

    day: date
    begins: datetime
    ends: datetime
    closed: str | None
    by_kind: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many deadlines fall due on the day."""
        return sum(self.by_kind.values())


@dataclass(frozen=True)
class Forecast:
    """The days to come in the market's zone, the party of each kind, and what is due already and not yet enforced."""

    at: datetime
    zone: str
    days: tuple[Day, ...]
    parties: dict[str, str]
    due_already: dict[str, int]

    def by_party(self, day: Day) -> dict[str, int]:
        """How many fall due on a day for each party that must act."""
        counted: dict[str, int] = {}
        for kind, number in day.by_kind.items():
            counted[self.parties[kind]] = counted.get(self.parties[kind], 0) + number
        return counted

    def as_json(self) -> dict[str, Any]:
        """The same, ready for JSON but for its instants and dates."""
        days = [
            {
                "day": day.day,
                "begins_at": day.begins,
                "ends_at": day.ends,
                "closed": day.closed,
                "total": day.total,
                "by_kind": day.by_kind,
                "by_party": self.by_party(day),
            }
            for day in self.days
        ]
        total = sum(day.total for day in self.days)
        return {"at": self.at, "zone": self.zone, "total": total, "due_already": self.due_already, "days": days}


def forecast(connection: Connection, book: Rulebook, now: datetime, days: int, *, at_most: int | None = None) -> Forecast:
    """Count what falls due from now to the end of the last of so many local days, today being the first.

    That a row still runs is not asked here: what is counted falls due unless its party acts first.

    at_most: how far to count, of each kind on each day; None counts all.
    """
    ahead = _days(book, now, days)
    due_already: dict[str, int] = {}
    due = deadlines.c.due_at
    for kind in book.active():
        running = select(deadlines.c.id).where(deadlines.c.kind == kind.name, is_running)
        if count := counted(connection, running.where(due <= now), at_most):
            due_already[kind.name] = count
        for day in ahead:
            of_day = running.where(due > now, due >= day.begins, due < day.ends)
            if count := counted(connection, of_day, at_most):
                day.by_kind[kind.name] = count
    parties = {kind.name: kind.party.value for kind in book.active()}
    return Forecast(now, book.market_zone, tuple(ahead), parties, due_already)


def _days(book: Rulebook, now: datetime, count: int) -> list[Day]:
    local = zone(book.market_zone)
    today = now.astimezone(local).date()
    found, begins = [], now
    for number in range(count):
        day = today + timedelta(days=number)
        ends = end_of_local_day(day, local)
        if ends > begins:  # not so for a date that the zone left out
            found.append(Day(day, begins, ends, _closed(book, day)))
            begins = ends
    return found


def _closed(book: Rulebook, day: date) -> str | None:
    try:
        return book.calendars.default.why_not(day)
    except BadPolicy:  # beyond the holidays that are known
        return None
