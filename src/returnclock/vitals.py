"""Vitals: the same questions as `health`, asked by monitoring every few seconds of a market of any size; read-only.

Every question is served by an index and counts up to ``CAP``: with ten million running deadlines a scrape reads a few
thousand entries of indexes. What is counted higher than that is bad enough. Imports the nouns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, exists, func, select

from returnclock import claims
from returnclock.batches import counted
from returnclock.calendars import Calendar
from returnclock.holds import begun
from returnclock.kinds import DeadlineKind
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import (
    changes,
    deadlines,
    is_dead,
    is_held,
    is_open,
    is_running,
    is_unsent,
    outbox,
    problems,
    runs,
)
from returnclock.tables.interventions import holds

CAP = 10_000
WARNED_BEFORE = timedelta(hours=24)


@dataclass(frozen=True)
class Backlog:
    """How many wait (up to CAP) and for how many seconds the oldest has."""

    count: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class TaskVitals:
    """When a task last succeeded, how long that run took (seconds), and whether its newest run that ended failed."""

    succeeded_at: datetime | None
    seconds: float | None
    failing: bool


def overdue(connection: Connection, kind: DeadlineKind, now: datetime) -> Backlog:
    """The deadlines of a kind that are due, still true and not enforced, among the first CAP that are due."""
    row = claims.count_due(connection, kind, deadlines.c.due_at, now, CAP)
    return Backlog(row.number, _age(row.oldest, now))


def falling_due(connection: Connection, kind: DeadlineKind, after: datetime, until: datetime) -> int:
    """How many deadlines of a kind fall due after one instant and up to another."""
    ahead = select(deadlines.c.id).where(deadlines.c.kind == kind.name, is_running)
    return counted(connection, ahead.where(deadlines.c.due_at > after, deadlines.c.due_at <= until), CAP)


def warns(kind: DeadlineKind) -> bool:
    """Whether a deadline of the kind has a consequence of which somebody is warned."""
    return bool(kind.effect and kind.notices_for("reminder"))


def unwarned(connection: Connection, kind: DeadlineKind, now: datetime) -> int:
    """How many deadlines with a consequence fall due within 24 hours although no warning of them was delivered.

    Zero for a kind that warns of nothing or does nothing. What front ends have settled meanwhile may still be counted.
    """
    if not warns(kind):
        return 0
    soon = (
        select(deadlines.c.id, deadlines.c.round)
        .where(deadlines.c.kind == kind.name, is_running, deadlines.c.due_at <= now + WARNED_BEFORE)
        .order_by(deadlines.c.due_at)
        .limit(CAP)
        .subquery()
    )
    warned = exists().where(outbox.c.deadline_id == soon.c.id, outbox.c.notice == "reminder", outbox.c.state == "sent")
    return int(connection.execute(select(func.count()).select_from(soon).where(~warned)).scalar_one())


def held(connection: Connection, kind: DeadlineKind) -> int:
    """How many deadlines of a kind are held."""
    return counted(connection, select(deadlines.c.id).where(deadlines.c.kind == kind.name, is_held), CAP)


def oldest_hold(connection: Connection, now: datetime) -> float:
    """For how many seconds the oldest hold that is in force and has no end has stood; 0 where there is none."""
    open_ended = select(func.min(holds.c.starts_at)).where(*begun(now), holds.c.closed_at.is_(None), holds.c.ends_at.is_(None))
    return _age(connection.execute(open_ended).scalar(), now)


def unstamped(connection: Connection, now: datetime) -> Backlog:
    """The noted changes that wait to be stamped."""
    oldest = connection.execute(select(changes.c.noted_at).order_by(changes.c.id).limit(1)).scalar()
    return Backlog(counted(connection, select(changes.c.id), CAP), _age(oldest, now))


def task(connection: Connection, name: str) -> TaskVitals:
    """How a task fares. Looks past the failures since its last success, and at nothing older."""
    newest = select(runs.c.state, runs.c.finished_at, runs.c.result).where(runs.c.task == name)
    newest = newest.order_by(runs.c.started_at.desc()).limit(1)
    ended = connection.execute(newest.where(runs.c.state != "running")).one_or_none()
    good = ended
    if ended is not None and ended.state != "succeeded":
        good = connection.execute(newest.where(runs.c.state == "succeeded")).one_or_none()
    took = (good.result or {}).get("seconds") if good else None
    return TaskVitals(good.finished_at if good else None, took, ended is not None and ended.state == "failed")


def waiting_notices(connection: Connection, now: datetime) -> dict[str, Backlog]:
    """The notices that were not sent yet, by what they are (reminder, outcome, digest), since they were queued."""
    unsent = select(outbox.c.notice, outbox.c.queued_at).where(is_unsent, outbox.c.next_attempt_at.is_not(None))
    some = unsent.order_by(outbox.c.next_attempt_at).limit(CAP).subquery()
    grouped = select(some.c.notice, func.count().label("number"), func.min(some.c.queued_at).label("oldest"))
    rows = connection.execute(grouped.group_by(some.c.notice))
    return {row.notice: Backlog(row.number, _age(row.oldest, now)) for row in rows}


def untried_for(connection: Connection, now: datetime) -> float:
    """For how many seconds a notice has been ready to be sent and nobody has tried."""
    ready = select(outbox.c.next_attempt_at).where(is_unsent, outbox.c.next_attempt_at <= now)
    return _age(connection.execute(ready.order_by(outbox.c.next_attempt_at).limit(1)).scalar(), now)


def dead_notices(connection: Connection) -> int:
    """How many notices were given up."""
    return counted(connection, select(outbox.c.id).where(is_dead), CAP)


def open_problems(connection: Connection) -> dict[str, int]:
    """How many rows' problems are open, by their code."""
    some = select(problems.c.code).where(is_open).limit(CAP).subquery()
    return {code: number for code, number in connection.execute(select(some.c.code, func.count()).group_by(some.c.code))}


def calendars(book: Rulebook) -> dict[str, date]:
    """Until when the public holidays of the market's calendar, and of those that overrides name, are known."""
    named: Iterable[Calendar] = (
        book.calendars.get(when.get("country"), when.get("subdivision"))
        for rule in book.rules.values()
        for when, _ in rule.overrides
    )
    return {calendar.name: calendar.valid_until for calendar in (book.calendars.default, *named)}


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0
