"""Moves: how an intervention moves the dates of deadlines that are stamped: as they stand, written anew, and told.

`remaining` works out the dates; whoever intervenes (hold and resume, extend, undo, a vacation) reads and writes them here.
Imports facts, ledger's events and the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from returnclock.calendars import Calendar
from returnclock.errors import UnknownCountry, UnknownSubdivision
from returnclock.facts import calendar_or_default, ends_as_shown, zone_or
from returnclock.kept_days import counted_days, kept_away, with_counted_days
from returnclock.kinds import DeadlineKind
from returnclock.policy import Policy, Reckoning
from returnclock.remaining import Dates
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import deadlines, events
from returnclock.tables.keys import among
from returnclock.telemetry import Event

# From these on a deadline is counted anew; what stood still before has been given back or is no longer of interest.
BEGINNINGS = (Event.STAMPED, Event.REOPENED, Event.UNDONE)

_Span = tuple[datetime, datetime]


def history_of(connection: Connection, ids: Sequence[int]) -> defaultdict[int, list[Row[Any]]]:
    """The ledger of each of the deadlines, in order."""
    found: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    if ids:
        for event in connection.execute(select(events).where(among(events.c.deadline_id, ids)).order_by(events.c.id)):
            found[event.deadline_id].append(event)
    return found


def beginning(row: Any, history: Sequence[Any]) -> datetime:
    """From when a deadline is counted: its start, or when it was re-opened or re-armed and counted anew."""
    begun: datetime = row.starts_at
    for event in history:
        if event.event in BEGINNINGS:
            begun = event.at if (event.detail or {}).get("anew") else row.starts_at
    return begun


def days_left_out(away: Mapping[date, datetime], history: Sequence[Any], dates: Dates, now: datetime) -> frozenset[date]:
    """Of a seller's days of vacation, each with when it was announced, those that a deadline with this history leaves out.

    Not those on which it stood still throughout: they are given back when it runs again. Nor those that were over when it ran
    again after a rest, where the vacation was announced during the rest: no time of the seller ran then.
    """
    held, rests = _interruptions(history, now)
    found = set()
    for day, announced_at in away.items():
        heard = next((again for rested, again in rests if rested <= announced_at < again), announced_at)
        if day > dates.day_of(heard) and not any(dates.day_before_end(a) < day < dates.day_of(b) for a, b in held):
            found.add(day)
    return frozenset(found)


def _interruptions(history: Sequence[Any], now: datetime) -> tuple[list[_Span], list[_Span]]:
    """From when to when a deadline stood still, and from when to when it was settled; a rest that goes on ends now."""
    held, rests, rested = list[_Span](), list[_Span](), None
    for event in history:
        if event.event == Event.RESUMED:
            held.append((datetime.fromisoformat(event.detail["from"]), datetime.fromisoformat(event.detail["until"])))
        elif event.event in (Event.MET, Event.VOIDED):
            rested = event.at
        elif event.event in BEGINNINGS and rested is not None:
            rests.append((rested, event.at))
            rested = None
    return held, rests if rested is None else [*rests, (rested, now)]


def kept_calendar(book: Rulebook, schedule: Mapping[str, Any]) -> Calendar:
    """The calendar by which a deadline was counted, as ``schedule`` names it, with its days and the vacation of that time."""
    name = str(schedule["calendar"])
    try:
        calendar = book.calendars.called(name)
    except (UnknownCountry, UnknownSubdivision):  # the package knew it when the deadline was counted
        country, _, subdivision = name.partition("-")
        calendar = calendar_or_default(book.calendars, country, subdivision or None)
    return with_counted_days(calendar, schedule).layered(kept_away(schedule))


def dates_of(book: Rulebook, row: Any, begun: datetime) -> Dates:
    """The dates of a deadline (with its policy's ``definition``) as they stand, for `remaining` to move."""
    schedule = row.schedule
    return Dates(
        starts=begun,
        promised_at=row.promised_at,
        due_at=row.due_at,
        last_day=date.fromisoformat(schedule["last_day"]),
        policy=Policy.from_definition(row.definition),
        calendar=kept_calendar(book, schedule),
        zone=zone_or(schedule["zone"], book.market_zone),
        spared=row.spared_at is not None,
    )


def moved_schedule(row: Any, dates: Dates, reckoned: Reckoning) -> dict[str, Any]:
    """``clock_deadlines.schedule`` of a deadline whose dates were moved, by the calendar that counted them."""
    kept = {name: value for name, value in row.schedule.items() if name != "ends"}
    away = {*kept.pop("away", ()), *(day.isoformat() for day in dates.ahead.away)}
    return {
        **kept,
        **({"away": sorted(away)} if away else {}),
        **counted_days(dates.policy, dates.calendar, dates.zone, dates.starts, reckoned),
        **ends_as_shown(dates.policy, reckoned, dates.zone),
        "last_day": reckoned.last_day.isoformat(),
        "reminders": [moment.isoformat() for moment in reckoned.reminders],
    }


def moved_values(
    book: Rulebook, kind: DeadlineKind, row: Any, dates: Dates, reckoned: Reckoning, now: datetime
) -> dict[str, Any]:
    """What `write_moves` writes for a deadline whose dates were moved."""
    warn_by = book.guards.warn_by(kind, reckoned, now) if reckoned.promised_at > row.promised_at else None
    return {
        "of": row.id,
        "to_promised": reckoned.promised_at,
        "to_due": reckoned.due_at,
        "to_remind": reckoned.next_reminder(now),
        # A warning that was owed and is out, or was owed and is not, stays owed: only a new date brings a new one.
        "to_warn": warn_by or shifted_warning(row, reckoned.due_at),
        "to_spared": None if reckoned.promised_at > row.promised_at else row.spared_at,
        # Where the new date brings a warning of its own, amnesty asks for that one: an older one told another date.
        "to_stamped": now if warn_by else row.stamped_at,
        "to_schedule": moved_schedule(row, dates, reckoned),
    }


def shifted_warning(row: Any, due_at: datetime) -> datetime | None:
    """By when a warning that a deadline owes must be out once its effective date is another one.

    As long before it as ever: amnesty gives that time, and not also the days for which the deadline stood still.
    """
    owed: datetime | None = row.warn_by
    return None if owed is None else owed + (due_at - row.due_at)


def write_moves(connection: Connection, moves: Sequence[Mapping[str, Any]], state: str, becomes: str = "running") -> int:
    """Write the moved dates of deadlines in ``state``. The round goes on, so that each reminder may be sent for the new date.

    Returns:
        how many deadlines were still in ``state``.
    """
    moving = (
        update(deadlines)
        .where(deadlines.c.id == bindparam("of"), deadlines.c.state == state)
        .values(
            state=becomes,
            promised_at=bindparam("to_promised"),
            due_at=bindparam("to_due"),
            remind_at=bindparam("to_remind"),
            warn_by=bindparam("to_warn"),
            spared_at=bindparam("to_spared"),
            stamped_at=bindparam("to_stamped"),
            schedule=bindparam("to_schedule"),
            round=deadlines.c.round + 1,
        )
    )
    return connection.execute(moving, [dict(move) for move in moves]).rowcount if moves else 0


def telling(kind: DeadlineKind, row: Any, reckoned: Reckoning, **more: Any) -> dict[str, Any]:
    """The ledger's row for a deadline whose dates were moved: before, after, and every step between."""
    detail = {
        **more,
        "was_promised_at": row.promised_at.isoformat(),
        "was_due_at": row.due_at.isoformat(),
        "promised_at": reckoned.promised_at.isoformat(),
        "due_at": reckoned.due_at.isoformat(),
        "steps": list(reckoned.steps),
    }
    return {"deadline_id": row.id, "kind": kind.name, "subject_id": row.subject_id, "detail": detail}
