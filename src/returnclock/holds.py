"""Holds: time stands still for the deadlines of a scope, and what was left is given back when it runs again.

A hold is a row, so that it catches deadlines that come later; the sweep and the reminders ask for it in their claims, so
that nothing happens under it even before a deadline is marked. From when to when a deadline stood still is read from the
ledger (``deadline:held`` and ``deadline:resumed``), never from a counter. Imports scopes, ledger and the noun rooms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, not_, select, true, update

from returnclock import ledger
from returnclock.errors import BadPolicy
from returnclock.facts import kept_calendar, zone_or
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.policy import Policy, Reckoning
from returnclock.remaining import Dates, after_hold, extended_until
from returnclock.rulebook import Rulebook
from returnclock.scopes import Scope, any_of
from returnclock.tables.clock import deadlines, events, is_running, policies
from returnclock.tables.interventions import holds
from returnclock.tables.keys import among, by_index
from returnclock.telemetry import Event

# From these on a deadline is counted anew; what stood still before has been given back or is no longer of interest.
_BEGINNINGS = (Event.STAMPED, Event.REOPENED, Event.UNDONE)


@dataclass(frozen=True)
class Hold:
    """One row of ``clock_holds``."""

    id: int
    scope: Scope
    starts_at: datetime
    ends_at: datetime | None
    reason: str
    actor: str
    caught_at: datetime | None
    closed_at: datetime | None

    def is_over(self, now: datetime) -> bool:
        """Whether its span has ended."""
        return self.ends_at is not None and self.ends_at <= now


def begun(now: Any) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a hold has begun at an instant, or at a parameter that gets one, and that it is not done."""
    return holds.c.done_at.is_(None), holds.c.starts_at <= now


def unfinished(connection: Connection, now: datetime, *, to_come: bool = False) -> list[Hold]:
    """The holds that have begun, or are ``to_come``, and whose last deadline does not run again yet; oldest first."""
    chosen = select(holds).where(*((holds.c.done_at.is_(None),) if to_come else begun(now))).order_by(holds.c.id)
    return [_read(row) for row in connection.execute(chosen)]


def _read(row: Row[Any]) -> Hold:
    scope = Scope.from_document(row.scope)
    return Hold(row.id, scope, row.starts_at, row.ends_at, row.reason, row.actor, row.caught_at, row.closed_at)


def standing(connection: Connection, now: datetime) -> list[Hold]:
    """The holds that bind deadlines: begun, and not yet closed by whoever applied their end."""
    return [hold for hold in unfinished(connection, now) if hold.closed_at is None]


def not_held(kind: DeadlineKind, binding: Sequence[Hold]) -> ColumnElement[bool]:
    """The condition that none of the holds covers a deadline of the kind."""
    return not_(any_of(kind, [hold.scope for hold in binding])) if binding else true()


def catch(connection: Connection, hand: Hand, now: datetime, kind: DeadlineKind, number: int, size: int) -> tuple[int, int]:
    """Mark up to ``size`` running deadlines that the hold of this number covers as held.

    The hold is read once more, and kept from being ended or narrowed until the mark is committed: whoever ends it lets run
    again what is held by then, and nobody would come back for what is marked later. So a hold is locked before deadlines.

    Returns:
        how many were looked at, fewer than ``size`` when there are no more; and how many were marked.
    """
    standing_yet = select(holds).where(holds.c.id == number, holds.c.closed_at.is_(None), holds.c.done_at.is_(None))
    row = connection.execute(standing_yet.with_for_update(read=True)).one_or_none()
    if row is None:
        return 0, 0
    hold = _read(row)
    chosen = select(deadlines.c.id).join(kind.subject, kind.binds()).where(is_running, hold.scope.covers(kind))
    if hold.ends_at is not None:
        chosen = chosen.where(deadlines.c.starts_at < hold.ends_at)
    found = list(connection.execute(chosen.order_by(deadlines.c.id).limit(size)).scalars())
    # By id and under lock: a sweep that has claimed some of them is waited for, and what it fired stays fired.
    locking = by_index(select(deadlines.c.id).where(among(deadlines.c.id, found), is_running), deadlines)
    ids = list(connection.execute(locking.order_by(deadlines.c.id).with_for_update()).scalars()) if found else []
    if ids:
        connection.execute(update(deadlines).where(among(deadlines.c.id, ids), is_running).values(state="held"))
        until = hold.ends_at.isoformat() if hold.ends_at else None
        detail = {"hold": hold.id, "from": hold.starts_at.isoformat(), "until": until, "reason": hold.reason, "by": hold.actor}
        ledger.record(connection, hand, now, Event.HELD, ids, detail)
    return len(found), len(ids)


def release(
    connection: Connection,
    book: Rulebook,
    hand: Hand,
    now: datetime,
    kind: DeadlineKind,
    until: Mapping[int, datetime],
    reason: str,
) -> int:
    """Let held deadlines run again, each with what was left of its time; ``until``: when each of them ran again.

    Returns:
        how many run again.
    """
    if not until:
        return 0
    chosen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
    chosen = by_index(chosen.where(among(deadlines.c.id, sorted(until)), deadlines.c.state == "held"), deadlines)
    locking = chosen.order_by(deadlines.c.id).with_for_update(of=None if _is_mariadb(connection) else [deadlines])
    rows = connection.execute(locking).all()
    history = history_of(connection, [row.id for row in rows])
    moves, told = [], []
    for row in rows:
        begun, held = stood_still(row, history[row.id])
        ran = max(until[row.id], held)
        dates = dates_of(book, row, begun)
        reckoned = _given_back(dates, held, ran)
        moves.append(moved_values(book, kind, row, reckoned, now))
        detail = {"from": held.isoformat(), "until": ran.isoformat(), "reason": reason}
        told.append(telling(kind, row, reckoned, **detail))
    write_moves(connection, moves, "held")
    ledger.record_each(connection, hand, now, Event.RESUMED, told)
    return len(rows)


def _is_mariadb(connection: Connection) -> bool:
    return connection.dialect.name in ("mysql", "mariadb")


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
        if event.event in _BEGINNINGS:
            begun = event.at if (event.detail or {}).get("anew") else row.starts_at
    return begun


def stood_still(row: Any, history: Sequence[Any]) -> tuple[datetime, datetime]:
    """From when a held deadline is counted, and since when it stands still: the earliest hold since it last ran."""
    since = given_back = None
    for event in history:
        if event.event in (*_BEGINNINGS, Event.RESUMED):
            since = None
            # A later hold that reaches further back does not give the same days twice.
            given_back = datetime.fromisoformat(event.detail["until"]) if event.event == Event.RESUMED else None
        elif event.event == Event.HELD:
            held = datetime.fromisoformat(event.detail["from"])
            held = held if given_back is None else max(held, given_back)
            since = held if since is None else min(since, held)
    begun = beginning(row, history)
    return begun, max(begun, since or row.stamped_at)


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


def _given_back(dates: Dates, held: datetime, until: datetime) -> Reckoning:
    try:
        return after_hold(dates, held, until)
    except (BadPolicy, OverflowError):
        # Past what calendars know: one row must not keep the others held, and nobody may get less.
        return extended_until(dates, dates.promised_at + max(until - held, timedelta()))


def moved_values(book: Rulebook, kind: DeadlineKind, row: Any, reckoned: Reckoning, now: datetime) -> dict[str, Any]:
    """What `write_moves` writes for a deadline whose dates were moved."""
    warn_by = book.guards.warn_by(kind, reckoned, now)
    promised_moved = reckoned.promised_at > row.promised_at
    return {
        "of": row.id,
        "to_promised": reckoned.promised_at,
        "to_due": reckoned.due_at,
        "to_remind": reckoned.next_reminder(now),
        # A warning that was owed and is out, or was owed and is not, stays owed: only a new date brings a new one.
        "to_warn": warn_by if promised_moved and warn_by else row.warn_by,
        "to_spared": None if promised_moved else row.spared_at,
        # Where the new date brings a warning of its own, amnesty asks for that one: an older one told another date.
        "to_stamped": now if promised_moved and warn_by else row.stamped_at,
        "to_schedule": {
            **row.schedule,
            "last_day": reckoned.last_day.isoformat(),
            "reminders": [moment.isoformat() for moment in reckoned.reminders],
        },
    }


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
