"""Standstill: marks the deadlines that holds cover, and gives back what was left when they run again.

From when to when a deadline stood still is read from the ledger (``deadline:held`` and ``deadline:resumed``), never from a
counter. Imports holds, moves and the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, select, update

from returnclock import ledger
from returnclock.errors import BadPolicy
from returnclock.facts import away_of
from returnclock.holds import Hold, Span, binds, covered, joined, overlapping, read_hold, standing
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

# Longer than a transaction lives that counts by vacations or holds: a worker's is cut off after five minutes, an operator's
# gives up after four (`ops.targets`).
SETTLES_IN = timedelta(minutes=10)


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
    """Mark those of the deadlines as held that still run, each from when the first of the holds covered it.

    covering: the last covers them all, and is kept from ending by whoever calls.

    Returns:
        the ids of those that were marked.
    """
    if not found:
        return []
    # By id and under lock: a sweep that has claimed some of them is waited for, and what it fired stays fired.
    chosen = select(deadlines.c.id, deadlines.c.stamped_at).where(among(deadlines.c.id, found), is_running)
    locking = by_index(chosen, deadlines).order_by(deadlines.c.id).with_for_update()
    stamped = {row.id: row.stamped_at for row in connection.execute(locking)}
    ids = sorted(stamped)
    if ids:
        connection.execute(update(deadlines).where(among(deadlines.c.id, ids), is_running).values(state="held"))
    first: dict[int, tuple[datetime, Hold]] = {}
    for hold in covering:
        for one in ids if hold is covering[-1] else covered(connection, kind, [hold], ids):
            since = _covered_since(hold, stamped[one])
            if one not in first or since < first[one][0]:
                first[one] = since, hold
    told = defaultdict[tuple[datetime, int], list[int]](list)
    for one, (since, hold) in first.items():
        told[since, hold.id].append(one)
    for of_it in told.values():
        since, hold = first[of_it[0]]
        ledger.record(connection, hand, now, Event.HELD, sorted(of_it), _detail(hold, since))
    return ids


def _covered_since(hold: Hold, stamped_at: datetime) -> datetime:
    """From when a hold covers a deadline that it is found to cover now.

    One that has run since before the hold was last looked through, and was not found then, has come into its scope since: a
    row's country or seller was changed. When, nobody has noted: the last look is never later than that, and mostly a minute
    earlier. Not so one that was stamped about then, or later: it may have been under the hold all the time.
    """
    looked = hold.caught_at
    return hold.starts_at if looked is None or stamped_at > looked - SETTLES_IN else max(hold.starts_at, looked)


def _standing_yet(connection: Connection, number: int) -> Hold | None:
    standing_yet = select(holds).where(holds.c.id == number, holds.c.closed_at.is_(None), holds.c.done_at.is_(None))
    row = connection.execute(standing_yet.with_for_update(read=True)).one_or_none()
    return None if row is None else read_hold(row)


def _detail(hold: Hold, since: datetime) -> dict[str, Any]:
    until = hold.ends_at.isoformat() if hold.ends_at else None
    return {"hold": hold.id, "from": since.isoformat(), "until": until, "reason": hold.reason, "by": hold.actor}


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
    told = SimpleNamespace(event=Event.HELD, at=now, detail=_detail(hold, hold.starts_at))
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
    under: Mapping[int, Sequence[Span]],
    reason: str,
) -> int:
    """Let held deadlines run again, each with what was left of its time; ``under``: what `spans_under` says of each of them.

    One that no hold covers any more, such as that of a row which has left its hold's scope, stood still until now.

    Returns:
        how many run again.
    """
    if not under:
        return 0
    chosen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
    chosen = by_index(chosen.where(among(deadlines.c.id, sorted(under)), deadlines.c.state == "held"), deadlines)
    locking = chosen.order_by(deadlines.c.id).with_for_update(of=None if _is_mariadb(connection) else [deadlines])
    rows = connection.execute(locking).all()
    history = history_of(connection, [row.id for row in rows])
    away = away_of(connection, book, kind, [row.subject_id for row in rows])
    moves, told = [], defaultdict[int, list[dict[str, Any]]](list)
    for row in rows:
        begun, since = stood_still(row, history[row.id])
        dates = dates_of(book, row, begun)
        left_out = days_left_out(away.get(row.subject_id, {}), history[row.id], dates, now)
        dates = dates.leaving_out(left_out, after=dates.day_of(begun))
        spans = _spans(connection, kind, row.id, history[row.id], under[row.id], since, now)
        dates, reckoned, said = _run_again(kind, row, dates, spans, reason)
        moves.append(moved_values(book, kind, row, dates, reckoned, now))
        for turn, detail in enumerate(said):
            told[turn].append(detail)
    write_moves(connection, moves, "held")
    for turn, those in sorted(told.items()):
        ledger.record_each(connection, hand, now, Event.HELD if turn % 2 else Event.RESUMED, those)
    return len(rows)


def _spans(
    connection: Connection,
    kind: DeadlineKind,
    deadline_id: int,
    history: Sequence[Any],
    under: Sequence[Span],
    since: datetime,
    now: datetime,
) -> list[Span]:
    """From when to when a deadline stood still: since its ledger says so, and without the time between two of its holds.

    Such a gap is there where no worker came while it lasted. It must be sure: a hold that is done, or that the ledger names and
    whose scope the row has left since, may have covered it meanwhile.
    """
    if not under:
        return [Span(since, now)]
    spans = joined(under, since)
    if len(spans) != 1 or spans[0].start > since:
        until, last = (spans[-1].start, spans[-1].end) if spans else (now, now)
        named = {event.detail["hold"] for event in history if event.event == Event.HELD}
        for hold in overlapping(connection, since, until):
            if hold.id in named or covered(connection, kind, [hold], [deadline_id]):
                spans.append(Span(hold.starts_at, min(hold.ends_at or last, last), hold))
        # Where all that cover it had ended before it stood still, it stood still for no time.
        spans = joined(spans, since) or [Span(since, since)]
    return [spans[0]._replace(start=since), *spans[1:]]


def _run_again(
    kind: DeadlineKind, row: Any, dates: Dates, spans: Sequence[Span], reason: str
) -> tuple[Dates, Reckoning, list[dict[str, Any]]]:
    """Give back each of the spans in turn.

    Returns:
        the dates before and after the last of them, and the ledger's rows: it ran again, and in between it was held.
    """
    told: list[dict[str, Any]] = []
    for number, span in enumerate(spans):
        if number and span.hold is not None:
            held = {"deadline_id": row.id, "kind": kind.name, "subject_id": row.subject_id}
            told.append({**held, "detail": _detail(span.hold, span.start)})
        was = SimpleNamespace(id=row.id, subject_id=row.subject_id, promised_at=dates.promised_at, due_at=dates.due_at)
        before, reckoned = _given_back(dates, span.start, span.end)
        said = {"from": span.start.isoformat(), "until": span.end.isoformat(), "reason": reason}
        told.append(telling(kind, was, reckoned, **said))
        dates = before.moved(reckoned)
    return before, reckoned, told


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
