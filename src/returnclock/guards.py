"""Guards: what keeps a deadline that is due from taking effect: a hold, a pause, a burst cap, a warning that is not out.

Each is a condition of the claim, or a count under the lock of a row, so that any number of workers honour it together.
Imports interventions, turnstile, outbox and ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, false, func, or_, select, update

from returnclock import holds, ledger, outbox, pauses, turnstile, unfireable
from returnclock.interventions import standing
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.moves import shifted_warning
from returnclock.rulebook import Guards
from returnclock.tables.clock import deadlines
from returnclock.tables.clock import outbox as notices
from returnclock.tables.interventions import bursts
from returnclock.tables.keys import among
from returnclock.telemetry import Event

A_MINUTE = timedelta(minutes=1)
# The warning of an amnesty is queued, not sent: what it may take to get out is added, an hour to a day.
ON_THE_WAY = 24


def may_act(connection: Connection, kind: DeadlineKind, now: datetime) -> ColumnElement[bool]:
    """The condition under which deadlines of the kind may take effect or be reminded of now: no hold, no pause, no refusal.

    Asked in each batch's own transaction, so that an intervention binds every worker from its next batch on.
    """
    stands = standing(connection, now)
    if stands.paused and pauses.of(connection, now, "kind", kind.name):
        return false()
    free = holds.not_held(kind, holds.standing(connection, now) if stands.held else ())
    return and_(free, unfireable.not_set_aside(kind, now)) if stands.set_aside else free


def room(connection: Connection, kind: DeadlineKind, now: datetime, guards: Guards, size: int) -> int:
    """How many of ``size`` deadlines may take effect within this minute; the kind's row stays locked until they have."""
    if guards.burst_a_minute is None:
        return size
    row = turnstile.passed(connection, kind.name, now)
    if now - row.since >= A_MINUTE:
        connection.execute(update(bursts).where(bursts.c.kind == kind.name).values(since=now, fired=0))
        return min(size, guards.burst_a_minute)
    return min(size, max(0, guards.burst_a_minute - int(row.fired)))


def spend(connection: Connection, kind: DeadlineKind, guards: Guards, fired: int) -> None:
    """Count deadlines that took effect towards the cap."""
    if guards.burst_a_minute is not None and fired:
        spent = bursts.c.fired + fired
        connection.execute(update(bursts).where(bursts.c.kind == kind.name).values(fired=spent))


def unwarned() -> ColumnElement[bool]:
    """Whether a warning that we owe a deadline's party was not out in time, and amnesty has not been granted yet.

    Out is what the mail server took. A party without any address cannot be warned, now or later: it is not waited for.
    """
    out = or_(
        and_(notices.c.state == "sent", notices.c.sent_at <= deadlines.c.warn_by),
        and_(notices.c.state == "dead", notices.c.recipient.is_(None)),
    )
    of_it = (notices.c.deadline_id == deadlines.c.id, notices.c.notice == "reminder")
    # A reminder from before a re-opening, an extension or the like warned of another date.
    warned = exists().where(*of_it, notices.c.queued_at >= deadlines.c.stamped_at, out).correlate(deadlines)
    return and_(deadlines.c.warn_by.is_not(None), deadlines.c.spared_at.is_(None), ~warned)


def spare(
    connection: Connection, kind: DeadlineKind, hand: Hand, now: datetime, rows: Sequence[Any], guards: Guards
) -> set[int]:
    """Grant amnesty to due deadlines whose warning was not out in time: warned first, and the effective date moves.

    Each gets the time that its first reminder in time would have left it, at most the warning lead, from when it is warned;
    once. One that has been warned late is not warned again, and where it has had that time since, nothing is granted.

    Returns:
        the ids of those that were spared.
    """
    ids = [row.id for row in rows]
    late = _warned_at(connection, ids)
    known = _of_ids(connection, ids)
    granted = _granted(known, late, now, guards)
    owing = {row.id: row for row in known}
    moves = [
        {"of": one, "to_due": due, "to_warn": shifted_warning(owing[one], due), "to_spared": now}
        for one, due in granted.items()
    ]
    moving = update(deadlines).where(deadlines.c.id == bindparam("of"), deadlines.c.state == "running")
    if moves:
        moved = moving.values(due_at=bindparam("to_due"), warn_by=bindparam("to_warn"), spared_at=bindparam("to_spared"))
        connection.execute(moved.values(remind_at=None), moves)
        _tell(connection, kind, hand, now, owing, moves, late)
    return set(granted)


def would_spare(connection: Connection, now: datetime, ids: Sequence[int], guards: Guards) -> set[int]:
    """The ids of those of the due deadlines, unwarned all of them, that `spare` would grant amnesty now."""
    return set(_granted(_of_ids(connection, ids), _warned_at(connection, ids), now, guards))


def _of_ids(connection: Connection, ids: Sequence[int]) -> Sequence[Any]:
    columns = ("id", "subject_id", "due_at", "warn_by", "stamped_at", "schedule")
    chosen = select(*(deadlines.c[name] for name in columns))
    return connection.execute(chosen.where(among(deadlines.c.id, ids)).order_by(deadlines.c.id)).all()


def _granted(rows: Sequence[Any], late: Mapping[int, datetime], now: datetime, guards: Guards) -> dict[int, datetime]:
    """The new effective date of each of the deadlines to which any time is granted."""
    granted = {}
    for row in rows:
        lead = _lead(row, guards)
        warned_at = late.get(row.id)
        granted[row.id] = warned_at + lead if warned_at else now + lead + lead / ON_THE_WAY
    return {deadline_id: due for deadline_id, due in granted.items() if due > now}


def _lead(row: Any, guards: Guards) -> timedelta:
    """How long before its effect a deadline's party would have been warned.

    Longer than from ``warn_by`` where that allows for a reminder that goes out late.
    """
    moments = (datetime.fromisoformat(moment) for moment in row.schedule["reminders"])
    owed = next((moment for moment in moments if moment > row.stamped_at), None)
    by_reminder: timedelta = timedelta() if owed is None else row.due_at - owed
    by_warning: timedelta = row.due_at - row.warn_by
    return max(by_warning, min(guards.warning_lead or timedelta(), by_reminder))


def _warned_at(connection: Connection, ids: Sequence[int]) -> dict[int, datetime]:
    of_them = (among(notices.c.deadline_id, ids), notices.c.notice == "reminder", notices.c.state == "sent")
    chosen = select(notices.c.deadline_id, func.min(notices.c.sent_at).label("first")).where(*of_them)
    chosen = chosen.join(deadlines, deadlines.c.id == notices.c.deadline_id)
    chosen = chosen.where(notices.c.queued_at >= deadlines.c.stamped_at).group_by(notices.c.deadline_id)
    return {row.deadline_id: row.first for row in connection.execute(chosen)}


def _tell(
    connection: Connection,
    kind: DeadlineKind,
    hand: Hand,
    now: datetime,
    rows: Mapping[int, Any],
    moves: Sequence[Mapping[str, Any]],
    late: Mapping[int, datetime],
) -> None:
    to_warn = [move["of"] for move in moves if move["of"] not in late]
    outbox.queue(connection, kind, kind.notices_for("reminder"), to_warn, now, moment="warning")
    told = []
    for move in moves:
        row, due, warned_at = rows[move["of"]], move["to_due"], late.get(move["of"])
        how = f"went out only at {warned_at:%Y-%m-%d %H:%M} UTC" if warned_at else "was not delivered in time; one is sent now"
        step = f"The reminder that was due {how}: it takes effect at {due:%Y-%m-%d %H:%M} UTC. The communicated date stays."
        detail = {
            "was_due_at": row.due_at.isoformat(),
            "due_at": due.isoformat(),
            "reason": f"the reminder {how}",
            "steps": [step],
        }
        told.append({"deadline_id": row.id, "kind": kind.name, "subject_id": row.subject_id, "detail": detail})
    ledger.record_each(connection, hand, now, Event.SPARED, told)
