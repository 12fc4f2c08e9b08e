"""Health: what is late, what waits, how fresh every task is; read-only. Imports the nouns."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from returnclock import claims, histogram
from returnclock.lateness import Histogram
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import changes, deadlines, outbox, problems, runs


def overdue(connection: Connection, book: Rulebook, now: datetime, by: timedelta = timedelta()) -> list[dict[str, Any]]:
    """Of each kind that has any, how many deadlines are due since ``by`` or longer, and the latest one's lateness (s).

    Counted up to `claims.COUNTED` of a kind: after an outage it is asked every minute, beside those who work on it.
    """
    found = []
    for kind in book.active():
        row = claims.count_due(connection, kind, deadlines.c.due_at, now - by)
        if row.number:
            found.append({"kind": kind.name, "count": row.number, "oldest_s": (now - row.oldest).total_seconds()})
    return found


def counts_by_state(connection: Connection) -> dict[str, dict[str, int]]:
    """How many deadlines of each kind are in each state."""
    counted: dict[str, dict[str, int]] = {}
    chosen = select(deadlines.c.kind, deadlines.c.state, func.count().label("number"))
    for row in connection.execute(chosen.group_by(deadlines.c.kind, deadlines.c.state).order_by(deadlines.c.kind)):
        counted.setdefault(row.kind, {})[row.state] = row.number
    return counted


def due_within(connection: Connection, now: datetime, span: timedelta) -> dict[str, int]:
    """How many deadlines of each kind fall due within the span from now."""
    chosen = (
        select(deadlines.c.kind, func.count().label("number"))
        .where(deadlines.c.state == "running", deadlines.c.due_at > now, deadlines.c.due_at <= now + span)
        .group_by(deadlines.c.kind)
    )
    return {row.kind: row.number for row in connection.execute(chosen)}


def notices_by_state(connection: Connection) -> dict[str, int]:
    """How many notices are in each state of the outbox."""
    chosen = select(outbox.c.state, func.count().label("number")).group_by(outbox.c.state)
    return {row.state: row.number for row in connection.execute(chosen)}


def last_runs(connection: Connection) -> dict[str, dict[str, Any]]:
    """When each task last succeeded and last failed, with the failure's error."""
    ended = select(runs.c.task, runs.c.state, func.max(runs.c.id).label("id")).group_by(runs.c.task, runs.c.state)
    newest = ended.subquery()
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(select(runs).join(newest, runs.c.id == newest.c.id)):
        task = found.setdefault(row.task, {"succeeded_at": None, "failed_at": None, "error": None})
        if row.state == "succeeded":
            task["succeeded_at"] = row.finished_at
        elif row.state == "failed":
            task["failed_at"], task["error"] = row.finished_at, row.error
    return found


def open_problems(connection: Connection) -> int:
    """How many rows' problems are open."""
    chosen = select(func.count()).select_from(problems).where(problems.c.resolved_at.is_(None))
    return int(connection.execute(chosen).scalar_one())


def unstamped_changes(connection: Connection, now: datetime) -> tuple[int, float]:
    """How many noted changes wait to be stamped, and for how many seconds the oldest has waited."""
    row = connection.execute(select(func.count().label("number"), func.min(changes.c.noted_at).label("oldest"))).one()
    return row.number, max(0.0, (now - row.oldest).total_seconds()) if row.oldest else 0.0


def lateness_histogram(connection: Connection) -> dict[str, Histogram]:
    """How late deadlines of each kind fired, over all time: fire minus due in seconds, as cumulative buckets.

    Counts only ever grow, so that a monitoring system may take rates of them; purging history does not lessen them. A kind
    that never fired is missing. Rows: ``clock_lateness``, written by the transactions that fire (`histogram`).
    """
    return histogram.read(connection)
