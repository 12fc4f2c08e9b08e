"""Health: what is late, what waits, how fresh every task is; read-only. Imports the nouns.

What is due, what waits and what failed is counted up to ``COUNTED``, from indexes that hold only that. What is open, settled
since yesterday, or not warned is counted row by row: at ten million deadlines that takes seconds, so monitoring asks `vitals`
instead. What has been settled for long is nobody's worry at three in the morning, and is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Select, func, literal_column, select, union_all

from returnclock import claims, guards, histogram, holds, pauses
from returnclock.batches import COUNTED, counted
from returnclock.lateness import Histogram
from returnclock.rulebook import Rulebook
from returnclock.starts import NO_START
from returnclock.tables.clock import (
    changes,
    deadlines,
    is_dead,
    is_live,
    is_open,
    is_running,
    is_settled,
    is_unsent,
    outbox,
    policies,
    problems,
    runs,
)
from returnclock.tables.keys import among

_SLACK_S = 60  # a tick may be this much later than its interval before anybody is worried


def overdue(connection: Connection, book: Rulebook, now: datetime, by: timedelta = timedelta()) -> list[dict[str, Any]]:
    """Of each kind that has any, how many deadlines are due since ``by`` or longer, and the latest one's lateness (s).

    Counted up to ``COUNTED`` of a kind: after an outage it is asked every minute, beside those who work on it.
    """
    found = []
    for kind in book.active():
        row = claims.count_due(connection, kind, deadlines.c.due_at, now - by)
        if row.number:
            found.append({"kind": kind.name, "count": row.number, "oldest_s": (now - row.oldest).total_seconds()})
    return found


def counts_by_state(connection: Connection) -> dict[str, dict[str, int]]:
    """How many deadlines of each kind are running and held: all of them, which takes longer the more there are."""
    known = connection.execute(select(policies.c.kind).distinct()).scalars().all()  # an index leads with the kind
    chosen = select(deadlines.c.kind, deadlines.c.state, func.count().label("number"))
    chosen = chosen.where(is_live, deadlines.c.kind.in_(sorted(known)))
    return _by_kind_and_state(connection, chosen)


def settled_since(connection: Connection, book: Rulebook, since: datetime) -> dict[str, dict[str, int]]:
    """How many deadlines of each kind were met, fired or void since then."""
    chosen = select(deadlines.c.kind, deadlines.c.state, func.count().label("number"))
    # By its kinds, of which there are few, the index leads to the moment.
    of_kinds = deadlines.c.kind.in_([kind.name for kind in book.kinds])
    return _by_kind_and_state(connection, chosen.where(of_kinds, is_settled, deadlines.c.settled_at > since))


def _by_kind_and_state(connection: Connection, chosen: Select[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(chosen.group_by(deadlines.c.kind, deadlines.c.state).order_by(deadlines.c.kind)):
        found.setdefault(row.kind, {})[row.state] = row.number
    return found


def due_within(connection: Connection, book: Rulebook, now: datetime, span: timedelta) -> dict[str, int]:
    """How many deadlines of each kind that is on fall due within the span from now, up to ``COUNTED`` of a kind."""
    found = {}
    for kind in sorted(book.active(), key=attrgetter("name")):
        ahead = select(deadlines.c.id).where(deadlines.c.kind == kind.name, is_running)
        number = counted(connection, ahead.where(deadlines.c.due_at > now, deadlines.c.due_at <= now + span))
        if number:
            found[kind.name] = number
    return found


def notices_by_state(connection: Connection) -> dict[str, int]:
    """How many notices are queued, sending and dead; those that are sent or suppressed need nobody.

    Counted up to ``COUNTED`` of those that wait, the next ones first, and of those that are dead.
    """
    waiting = select(outbox.c.state).where(is_unsent, outbox.c.next_attempt_at.is_not(None))
    found: dict[str, int] = {}
    for chosen in (waiting.order_by(outbox.c.next_attempt_at), select(outbox.c.state).where(is_dead)):
        some = chosen.limit(COUNTED).subquery()
        number = func.count().label("number")
        found |= {row.state: row.number for row in connection.execute(select(some.c.state, number).group_by(some.c.state))}
    return found


def standing_holds(connection: Connection, book: Rulebook, now: datetime) -> list[dict[str, Any]]:
    """The holds in force: which, of what, since and until when, by whom and why, and whether it may have been forgotten.

    One that ends by itself is never forgotten, however long it stands.
    """
    return [
        {
            "id": one.id,
            "scope": str(one.scope),
            "since": one.starts_at,
            "until": one.ends_at,
            "by": one.actor,
            "reason": one.reason,
            "too_long": one.ends_at is None and now - one.starts_at > book.guards.hold_alarm_after,
        }
        for one in holds.standing(connection, now)
    ]


def standing_pauses(connection: Connection, book: Rulebook, now: datetime) -> list[dict[str, Any]]:
    """The tasks and kinds that rest, for how many seconds, and whether that is longer than it may be."""
    names = ("what", "name", "paused_at", "until", "actor", "reason")
    found = []
    for pause in pauses.standing(connection, now):
        rested = now - pause["paused_at"]
        more = {"for_s": rested.total_seconds(), "too_long": rested > book.guards.pause_alarm_after}
        found.append({name: pause[name] for name in names} | more)
    return found


def at_rest(resting: list[dict[str, Any]], book: Rulebook) -> set[str]:
    """The kinds whose deadlines nobody enforces because they, or their sweep, are paused and may be so for now."""
    allowed = {(pause["what"], pause["name"]) for pause in resting if not pause["too_long"]}
    return {kind.name for kind in book.kinds if ("kind", kind.name) in allowed or ("task", kind.task) in allowed}


def unwarned(connection: Connection, book: Rulebook, now: datetime) -> dict[str, int]:
    """Of each kind, how many running deadlines owe a warning that should be out by now and is not: amnesty is near."""
    found = {}
    for kind in book.active():
        chosen = select(func.count()).select_from(deadlines).join(kind.subject, kind.still_true())
        chosen = chosen.where(deadlines.c.kind == kind.name, is_running, deadlines.c.warn_by <= now, guards.unwarned())
        number = int(connection.execute(chosen).scalar_one())
        if number:
            found[kind.name] = number
    return found


def spared(connection: Connection) -> dict[str, int]:
    """Of each kind, how many deadlines run beyond their date because amnesty was granted: their party is warned first."""
    chosen = select(deadlines.c.kind, func.count().label("number"))
    chosen = chosen.where(is_running, deadlines.c.spared_at.is_not(None)).group_by(deadlines.c.kind)
    return {row.kind: row.number for row in connection.execute(chosen)}


def cannot_start(connection: Connection) -> dict[str, int]:
    """Of each kind, how many rows' clocks cannot start: a date is missing, long overdue, or none that can be worked with."""
    chosen = select(problems.c.kind, func.count().label("number"))
    chosen = chosen.where(problems.c.resolved_at.is_(None), problems.c.code.in_(NO_START)).group_by(problems.c.kind)
    return {row.kind: row.number for row in connection.execute(chosen)}


def oldest_notice(connection: Connection, now: datetime) -> float:
    """For how many seconds the notice that is due longest has been due; 0 where none is."""
    chosen = select(outbox.c.next_attempt_at).where(is_unsent, outbox.c.next_attempt_at.is_not(None))
    oldest = connection.execute(chosen.order_by(outbox.c.next_attempt_at).limit(1)).scalar()
    return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


def dead_by_error(connection: Connection, *, most: int = 500) -> list[tuple[str, int]]:
    """The errors of the newest dead notices (at most ``most``), each with how many have it, the most frequent first."""
    newest = select(outbox.c.error).where(is_dead).order_by(outbox.c.queued_at.desc()).limit(most).subquery()
    number = func.count().label("number")
    chosen = select(newest.c.error, number).group_by(newest.c.error).order_by(number.desc())
    return [(row.error or "no error was kept", row.number) for row in connection.execute(chosen)]


def last_runs(connection: Connection, tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """When each of the tasks last succeeded and last failed, with the failure's error; a task that never ran is left out."""
    newest = [
        select(func.max(runs.c.id)).where(runs.c.task == task, runs.c.state == literal_column(state))
        for task in tasks
        for state in ("'succeeded'", "'failed'")
    ]
    ids = [number for number in connection.execute(union_all(*newest)).scalars() if number is not None]
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(select(runs).where(among(runs.c.id, ids))):
        task = found.setdefault(row.task, {"succeeded_at": None, "failed_at": None, "error": None})
        if row.state == "succeeded":
            task["succeeded_at"] = row.finished_at
        else:
            task["failed_at"], task["error"] = row.finished_at, row.error
    return found


def is_stale(age_s: float | None, every_s: float) -> bool:
    """Whether a task's last success lies longer back than three of its intervals and a minute, or there is none."""
    return age_s is None or age_s > 3 * every_s + _SLACK_S


def open_problems(connection: Connection) -> int:
    """How many rows' problems are open, up to ``COUNTED``."""
    return counted(connection, select(problems.c.id).where(is_open))


def unstamped_changes(connection: Connection, now: datetime) -> tuple[int, float]:
    """How many noted changes wait to be stamped, up to ``COUNTED``, and for how many seconds the oldest has waited."""
    number = counted(connection, select(changes.c.id))
    # The first in line, not the least of all times: the key leads to it.
    oldest = connection.execute(select(changes.c.noted_at).order_by(changes.c.id).limit(1)).scalar()
    return number, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


def lateness_histogram(connection: Connection) -> dict[str, Histogram]:
    """How late deadlines of each kind fired, over all time: fire minus due in seconds, as cumulative buckets.

    Counts only ever grow, so that a monitoring system may take rates of them; purging history does not lessen them. A kind
    that never fired is missing. Rows: ``clock_lateness``, written by the transactions that fire (`histogram`).
    """
    return histogram.read(connection)
