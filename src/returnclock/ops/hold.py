"""Hold: time stands still for one deadline or for all of a scope, until the hold ends.

A hold is ordered in one short transaction and binds every sweep from then on; marking its deadlines and letting them run
again is done in batches, by whoever ordered it and by every tick of a sweep after that, so that no crash leaves one behind.
Imports holds and targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, exists, insert, select, update

from returnclock.batches import until_short
from returnclock.database import reading, retried, writing
from returnclock.errors import BadUsage, Refused, StillHeld
from returnclock.holds import Hold, spans_under, standing, unfinished
from returnclock.kinds import DeadlineKind
from returnclock.ops.targets import Desk, counted
from returnclock.ops.turn import in_turn
from returnclock.scopes import Scope, any_of
from returnclock.sqlstates import is_of_no_row, named_reason
from returnclock.standstill import catch, reach_back, release
from returnclock.tables.clock import LIVE_STATES, deadlines, events
from returnclock.tables.interventions import holds
from returnclock.tables.keys import among
from returnclock.telemetry import Event

LOOKED_AGAIN = timedelta(minutes=1)  # the claim of a sweep asks every time; this is only for the mark
BATCH = 500


def hold(desk: Desk, scope: Scope, *, starts_at: datetime | None = None, ends_at: datetime | None = None) -> dict[str, Any]:
    """Order a hold, from now or ``starts_at`` (which may lie in the past) until ``ends_at`` or until it is resumed.

    Raises:
        Refused: it is meant for one row, of which no deadline runs.
        BadUsage: it would end before it begins.
        CommitUncertain: as `in_turn` does.
    """
    result = in_turn(desk.engine, partial(_order, desk, scope, starts_at, ends_at), str(scope))
    return {**result, "held": 0 if desk.dry_run else enact(desk)["held"], "dry_run": desk.dry_run}


def _order(
    desk: Desk, scope: Scope, starts_at: datetime | None, ends_at: datetime | None, connection: Connection
) -> dict[str, Any]:
    now = desk.clock.now(connection)
    begins = starts_at or now
    if ends_at is not None and ends_at <= max(begins, now):
        raise BadUsage(reason=f"The hold would end at {ends_at:%Y-%m-%d %H:%M} UTC, which is not after its beginning and now.")
    found = counted(connection, desk.book, scope, *LIVE_STATES)
    if scope.is_one_row and not found:
        raise Refused(reason=f"{scope} has no deadline that runs; there is nothing to hold.")
    result = {"hold": None, "scope": scope.document(), **desk.said(), "from": begins, "until": ends_at}
    result |= {"matched": sum(found.values()), "by_kind": found}
    if desk.dry_run:
        return result
    row = {"scope": scope.document(), "starts_at": begins, "ends_at": ends_at, "created_at": now}
    key = connection.execute(insert(holds).values(**row, reason=desk.reason, actor=desk.hand.actor)).inserted_primary_key
    assert key is not None
    span = {"from": begins.isoformat(), "until": ends_at.isoformat() if ends_at else None}
    tell_of(connection, desk, now, Event.HOLD_ORDERED, int(key[0]), scope, **span)
    return {**result, "hold": int(key[0])}


def holds_with(connection: Connection, now: datetime, scope: Scope) -> list[int]:
    """The holds, begun or to come, that were ordered for just this scope."""
    plain = Scope(scope.kind, scope.table, scope.subject_id, scope.where)
    found = unfinished(connection, now, to_come=True)
    return [
        one.id
        for one in found
        if Scope(one.scope.kind, one.scope.table, one.scope.subject_id, one.scope.where) == plain and one.closed_at is None
    ]


def has_work(connection: Connection, now: datetime) -> bool:
    """Whether `enact` would find anything to look at."""
    return any(
        one.closed_at is not None or one.is_over(now) or one.caught_at is None or now - one.caught_at >= LOOKED_AGAIN
        for one in unfinished(connection, now)
    )


def enact(desk: Desk) -> dict[str, int]:
    """Mark the deadlines that holds cover, and let those run again whose holds have ended. Safe at any moment, by many at once.

    Raises:
        Exception: whatever one hold or one deadline raises; the others are carried out before it is told.

    Returns:
        how many were marked as held, and how many run again.
    """
    now, pending = retried(partial(_pending, desk))
    done, faults = {"held": 0, "resumed": 0}, list[Exception]()
    for one in pending:
        if one.closed_at is None and (one.is_over(now) or one.caught_at is None or now - one.caught_at >= LOOKED_AGAIN):
            try:
                done["held"] += _mark_all(desk, now, one)
            except Exception as fault:
                faults.append(fault)
    ended = [one for one in pending if one.is_over(now)]
    if ended:
        for kind in desk.book.kinds:
            done["resumed"] += _release_all(desk, now, kind, "its hold has ended", faults)
        for one in ended if not faults else ():  # what still stands under one is come back to
            retried(partial(_mark, desk, one, done_at=now))
    if faults:
        raise faults[0]
    return done


def _mark_all(desk: Desk, now: datetime, one: Hold) -> int:
    done = {"held": 0}
    # Also kinds that are off: what is found under a hold only once they are on again would seem to have come into it then.
    for kind in desk.book.kinds:
        until_short(partial(_catch, desk, now, kind, one, done), limit=None, size=BATCH)
        if one.caught_at is None and one.reaches_back:
            _reach_back_all(desk, now, kind, one)
    # Only once all are marked: until then the hold itself keeps every sweep away.
    retried(partial(_mark, desk, one, caught_at=now, **({"closed_at": now} if one.is_over(now) else {})))
    return done["held"]


def _pending(desk: Desk) -> tuple[datetime, Sequence[Hold]]:
    """The present, and the holds that somebody has still to carry out."""
    with reading(desk.engine) as connection:
        now = desk.clock.now(connection)
        return now, unfinished(connection, now)


def release_uncovered(desk: Desk) -> dict[str, int]:
    """Let deadlines run again that are held and that no hold covers, such as those of rows that left their hold's scope.

    Raises:
        Exception: whatever one deadline raises; the others run again before it is told.

    Returns:
        how many run again, of each kind of which any does.
    """
    now, _ = retried(partial(_pending, desk))
    faults = list[Exception]()
    done = {kind.name: _release_all(desk, now, kind, "no hold covers it any more", faults) for kind in desk.book.kinds}
    if faults:
        raise faults[0]
    return {name: number for name, number in done.items() if number}


def _catch(desk: Desk, now: datetime, kind: DeadlineKind, one: Hold, done: dict[str, int], size: int) -> int:
    with writing(desk.engine) as connection:
        looked_at, marked = catch(connection, desk.hand, now, kind, one.id, size)
    done["held"] += marked
    return looked_at


def _reach_back_all(desk: Desk, now: datetime, kind: DeadlineKind, one: Hold) -> None:
    after = 0
    while after := retried(partial(_reach_back, desk, now, kind, one, after)):
        pass


def _reach_back(desk: Desk, now: datetime, kind: DeadlineKind, one: Hold, after: int) -> int:
    with writing(desk.engine) as connection:
        return reach_back(connection, desk.hand, now, kind, one.id, after, BATCH)


def _release_all(desk: Desk, now: datetime, kind: DeadlineKind, reason: str, faults: list[Exception]) -> int:
    """Let every held deadline of a kind run again that no hold covers any more, page by page; faults: those of single ones."""
    done, after = 0, 0
    while True:
        page = retried(partial(_free_page, desk, now, kind, after))
        done += _release_or_halves(partial(_release, desk, now, kind, reason), kind, page, faults)
        if len(page) < BATCH:
            return done
        after = page[-1]


def _release_or_halves(
    act: Callable[[Sequence[int]], int], kind: DeadlineKind, ids: Sequence[int], faults: list[Exception]
) -> int:
    """Let them run again; where one of them cannot, the others."""
    if not ids:
        return 0
    try:
        return retried(partial(act, ids))
    except Exception as fault:
        if is_of_no_row(fault):
            raise
        if len(ids) == 1:
            faults.append(StillHeld(deadline=ids[0], kind=kind.name, reason=named_reason(fault)))
            return 0
    half = len(ids) // 2
    return sum(_release_or_halves(act, kind, some, faults) for some in (ids[:half], ids[half:]))


def _free_page(desk: Desk, now: datetime, kind: DeadlineKind, after: int) -> Sequence[int]:
    with reading(desk.engine) as connection:
        chosen = _free(connection, now, kind).where(deadlines.c.id > after)
        return connection.execute(chosen.order_by(deadlines.c.id).limit(BATCH)).scalars().all()


def _release(desk: Desk, now: datetime, kind: DeadlineKind, reason: str, ids: Sequence[int]) -> int:
    with writing(desk.engine) as connection:
        free = connection.execute(_free(connection, now, kind).where(among(deadlines.c.id, ids))).scalars().all()
        spans = spans_under(connection, kind, unfinished(connection, now), free, now)
        return release(connection, desk.book, desk.hand, now, kind, spans, reason)


def _free(connection: Connection, now: datetime, kind: DeadlineKind) -> Select[Any]:
    """The ids of the deadlines of a kind that are held and that no hold covers any more."""
    still = [one.scope for one in standing(connection, now)]
    free = ~exists().where(kind.binds(), any_of(kind, still)).correlate(deadlines)
    return select(deadlines.c.id).where(deadlines.c.kind == kind.name, deadlines.c.state == "held", free)


def _mark(desk: Desk, one: Hold, **values: Any) -> None:
    with writing(desk.engine) as connection:
        connection.execute(update(holds).where(holds.c.id == one.id, holds.c.done_at.is_(None)).values(values))


def tell_of(connection: Connection, desk: Desk, now: datetime, event: Event, number: int, scope: Scope, **more: Any) -> None:
    """Record that somebody ordered or ended a hold."""
    detail = {"hold": number, "scope": scope.document(), **desk.said(), **more}
    told = {"kind": scope.kind, "subject_id": scope.subject_id, "event": event, "at": now, "actor": desk.hand.actor}
    connection.execute(insert(events).values(**told, detail=detail))
