"""Standstill: marks the deadlines that holds cover, and gives back what was left when they run again.

From when to when a deadline stood still is read from the ledger (``deadline:held`` and ``deadline:resumed``), never from a
counter. Imports holds, moves and the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, select, update

from returnclock import ledger
from returnclock.errors import BadPolicy
from returnclock.facts import away_of
from returnclock.holds import Hold, binds, covered, read_hold, standing
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.moves import BEGINNINGS, beginning, dates_of, days_left_out, history_of, moved_values, telling, write_moves
from returnclock.policy import Reckoning
from returnclock.remaining import Dates, after_hold, extended_until, layered
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import deadlines, is_running, policies
from returnclock.tables.interventions import holds
from returnclock.tables.keys import among, by_index
from returnclock.telemetry import Event


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
    chosen = binds(kind, hold).where(is_running).order_by(deadlines.c.id).limit(size)
    found = list(connection.execute(chosen).scalars())
    # Another hold may have begun earlier, and only look later.
    earlier = [one for one in standing(connection, now) if one.starts_at < hold.starts_at]
    return len(found), len(mark(connection, hand, now, kind, found, [*earlier, hold]))


def mark(
    connection: Connection, hand: Hand, now: datetime, kind: DeadlineKind, found: Sequence[int], covering: Sequence[Hold]
) -> list[int]:
    """Mark those of the deadlines as held that still run, each from the beginning of the first hold that covers it.

    covering: the first first; the last covers them all, and is kept from ending by whoever calls.

    Returns:
        the ids of those that were marked.
    """
    if not found:
        return []
    # By id and under lock: a sweep that has claimed some of them is waited for, and what it fired stays fired.
    locking = by_index(select(deadlines.c.id).where(among(deadlines.c.id, found), is_running), deadlines)
    ids = list(connection.execute(locking.order_by(deadlines.c.id).with_for_update()).scalars())
    if ids:
        connection.execute(update(deadlines).where(among(deadlines.c.id, ids), is_running).values(state="held"))
    left = set(ids)
    for hold in covering:
        of_it = left if hold is covering[-1] else covered(connection, kind, [hold], sorted(left))
        ledger.record(connection, hand, now, Event.HELD, sorted(of_it), _detail(hold))
        left -= of_it
    return ids


def _standing_yet(connection: Connection, number: int) -> Hold | None:
    standing_yet = select(holds).where(holds.c.id == number, holds.c.closed_at.is_(None), holds.c.done_at.is_(None))
    row = connection.execute(standing_yet.with_for_update(read=True)).one_or_none()
    return None if row is None else read_hold(row)


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
    chosen = binds(kind, hold).where(deadlines.c.state == "held", deadlines.c.id > after)
    found = list(connection.execute(chosen.order_by(deadlines.c.id).limit(size)).scalars())
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
        left_out = days_left_out(away.get(row.subject_id, {}), history[row.id], dates, now)
        dates, reckoned = _given_back(dates.leaving_out(left_out, after=dates.day_of(begun)), held, ran)
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
        if event.event == Event.RESUMED:
            since, given_back = None, datetime.fromisoformat(event.detail["until"])
        elif event.event in BEGINNINGS:
            since = None
            # What runs again from its old start has its date as it was moved; what is counted anew begins without any.
            given_back = None if (event.detail or {}).get("anew") else given_back
        elif event.event == Event.HELD:
            held = datetime.fromisoformat(event.detail["from"])
            # A later hold that reaches further back does not give the same days twice.
            held = held if given_back is None else max(held, given_back)
            since = held if since is None else min(since, held)
    begun = beginning(row, history)
    return begun, max(begun, since or row.stamped_at)


def _given_back(dates: Dates, held: datetime, until: datetime) -> tuple[Dates, Reckoning]:
    """The dates as they were when they stood still, and as they are after it.

    A vacation that was announced before, and that nobody has applied yet, counts first: the time may have run out without it.
    """
    postponed = layered(dates, dates.starts)
    if postponed is not None:
        dates = dates.moved(postponed)
    try:
        reckoned = after_hold(dates, held, until)
    except (BadPolicy, OverflowError):
        # Past what calendars know: one row must not keep the others held, and nobody may get less.
        reckoned = extended_until(dates, dates.promised_at + max(until - held, timedelta()))
    return dates, replace(reckoned, steps=(*(postponed.steps if postponed else ()), *reckoned.steps))
