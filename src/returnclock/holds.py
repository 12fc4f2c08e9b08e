"""Holds: time stands still for the deadlines of a scope, and what was left is given back when it runs again.

A hold is a row, so that it catches deadlines that come later; the sweep and the reminders ask for it in their claims, so
that nothing happens under it even before a deadline is marked. From when to when a deadline stood still is read from the
ledger (``deadline:held`` and ``deadline:resumed``), never from a counter. Imports scopes, ledger and the noun rooms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, not_, select, true, update

from returnclock import ledger
from returnclock.errors import BadPolicy
from returnclock.facts import away_of
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.moves import BEGINNINGS, beginning, dates_of, history_of, moved_values, telling, write_moves
from returnclock.policy import Reckoning
from returnclock.remaining import Dates, after_hold, extended_until
from returnclock.rulebook import Rulebook
from returnclock.scopes import Scope, any_of
from returnclock.tables.clock import deadlines, is_running, policies
from returnclock.tables.interventions import holds
from returnclock.tables.keys import among, by_index
from returnclock.telemetry import Event


@dataclass(frozen=True)
class Hold:
    """One row of ``clock_holds``."""

    id: int
    scope: Scope
    starts_at: datetime
    ends_at: datetime | None
    reason: str
    actor: str
    created_at: datetime
    caught_at: datetime | None
    closed_at: datetime | None

    @property
    def reaches_back(self) -> bool:
        """Whether it began before it was ordered, and so perhaps before another hold by which deadlines are held already."""
        return self.starts_at < self.created_at

    def is_over(self, now: datetime) -> bool:
        """Whether its span has ended."""
        return self.ends_at is not None and self.ends_at <= now


def begun(now: Any) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a hold has begun at an instant, or at a parameter that gets one, and that it is not done."""
    return holds.c.done_at.is_(None), holds.c.starts_at <= now


def unfinished(connection: Connection, now: datetime, *, to_come: bool = False) -> list[Hold]:
    """The holds that have begun, or are ``to_come``, and whose last deadline does not run again yet.

    Those that began first come first: what is covered by several is held from the first on.
    """
    chosen = select(holds).where(*((holds.c.done_at.is_(None),) if to_come else begun(now)))
    chosen = chosen.order_by(holds.c.starts_at, holds.c.id)
    return [_read(row) for row in connection.execute(chosen)]


def _read(row: Row[Any]) -> Hold:
    scope = Scope.from_document(row.scope)
    times = (row.created_at, row.caught_at, row.closed_at)
    return Hold(row.id, scope, row.starts_at, row.ends_at, row.reason, row.actor, *times)


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
    hold = _standing_yet(connection, number)
    if hold is None:
        return 0, 0
    chosen = select(deadlines.c.id).join(kind.subject, kind.binds()).where(is_running, hold.scope.covers(kind))
    if hold.ends_at is not None:
        chosen = chosen.where(deadlines.c.starts_at < hold.ends_at)
    found = list(connection.execute(chosen.order_by(deadlines.c.id).limit(size)).scalars())
    # By id and under lock: a sweep that has claimed some of them is waited for, and what it fired stays fired.
    locking = by_index(select(deadlines.c.id).where(among(deadlines.c.id, found), is_running), deadlines)
    ids = list(connection.execute(locking.order_by(deadlines.c.id).with_for_update()).scalars()) if found else []
    if ids:
        connection.execute(update(deadlines).where(among(deadlines.c.id, ids), is_running).values(state="held"))
        ledger.record(connection, hand, now, Event.HELD, ids, _detail(hold))
    return len(found), len(ids)


def _standing_yet(connection: Connection, number: int) -> Hold | None:
    standing_yet = select(holds).where(holds.c.id == number, holds.c.closed_at.is_(None), holds.c.done_at.is_(None))
    row = connection.execute(standing_yet.with_for_update(read=True)).one_or_none()
    return None if row is None else _read(row)


def _detail(hold: Hold) -> dict[str, Any]:
    until = hold.ends_at.isoformat() if hold.ends_at else None
    return {"hold": hold.id, "from": hold.starts_at.isoformat(), "until": until, "reason": hold.reason, "by": hold.actor}


def reach_back(
    connection: Connection, hand: Hand, now: datetime, kind: DeadlineKind, number: int, after: int, size: int
) -> int:
    """Record of up to ``size`` deadlines that are held already, behind that id, that the hold reaches further back for them.

    Returns:
        the last id that was looked at, 0 when there are no more.
    """
    hold = _standing_yet(connection, number)
    if hold is None:
        return 0
    covered = (
        select(deadlines.c.id).join(kind.subject, kind.binds()).where(deadlines.c.state == "held", hold.scope.covers(kind))
    )
    found = list(connection.execute(covered.where(deadlines.c.id > after).order_by(deadlines.c.id).limit(size)).scalars())
    locking = by_index(select(deadlines).where(among(deadlines.c.id, found), deadlines.c.state == "held"), deadlines)
    rows = connection.execute(locking.order_by(deadlines.c.id).with_for_update()).all() if found else ()
    history = history_of(connection, [row.id for row in rows])
    told = SimpleNamespace(event=Event.HELD, at=now, detail=_detail(hold))
    further = [row.id for row in rows if stood_still(row, [*history[row.id], told])[1] < stood_still(row, history[row.id])[1]]
    if further:
        ledger.record(connection, hand, now, Event.HELD, further, told.detail)
    return found[-1] if len(found) == size else 0


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
    away = away_of(connection, book, kind, [row.subject_id for row in rows])
    moves, told = [], []
    for row in rows:
        begun, held = stood_still(row, history[row.id])
        ran = max(until[row.id], held)
        dates = dates_of(book, row, begun)
        dates = dates.leaving_out(away.get(row.subject_id, ()), after=dates.day_before(ran))
        reckoned = _given_back(dates, held, ran)
        moves.append(moved_values(book, kind, row, dates, reckoned, now))
        detail = {"from": held.isoformat(), "until": ran.isoformat(), "reason": reason}
        told.append(telling(kind, row, reckoned, **detail))
    write_moves(connection, moves, "held")
    ledger.record_each(connection, hand, now, Event.RESUMED, told)
    return len(rows)


def _is_mariadb(connection: Connection) -> bool:
    return connection.dialect.name in ("mysql", "mariadb")


def stood_still(row: Any, history: Sequence[Any]) -> tuple[datetime, datetime]:
    """From when a held deadline is counted, and since when it stands still: the earliest hold since it last ran."""
    since = given_back = None
    for event in history:
        if event.event in (*BEGINNINGS, Event.RESUMED):
            since = None
            # A later hold that reaches further back does not give the same days twice.
            given_back = datetime.fromisoformat(event.detail["until"]) if event.event == Event.RESUMED else None
        elif event.event == Event.HELD:
            held = datetime.fromisoformat(event.detail["from"])
            held = held if given_back is None else max(held, given_back)
            since = held if since is None else min(since, held)
    begun = beginning(row, history)
    return begun, max(begun, since or row.stamped_at)


def _given_back(dates: Dates, held: datetime, until: datetime) -> Reckoning:
    try:
        return after_hold(dates, held, until)
    except (BadPolicy, OverflowError):
        # Past what calendars know: one row must not keep the others held, and nobody may get less.
        return extended_until(dates, dates.promised_at + max(until - held, timedelta()))
