"""Hold: time stands still for one deadline or for all of a scope, until the hold ends.

A hold is ordered in one short transaction and binds every sweep from then on; marking its deadlines and letting them run
again is done in batches, by whoever ordered it and by every tick of a sweep after that, so that no crash leaves one behind.
Imports holds and targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, exists, insert, select, update

from returnclock.batches import until_short
from returnclock.database import reading, retried, writing
from returnclock.errors import BadUsage, Refused
from returnclock.holds import Hold, standing, unfinished, until_when
from returnclock.kinds import DeadlineKind
from returnclock.ops.targets import Desk, counted
from returnclock.ops.turn import in_turn
from returnclock.scopes import Scope, any_of
from returnclock.standstill import catch, reach_back, release
from returnclock.tables.clock import LIVE_STATES, deadlines, events
from returnclock.tables.interventions import holds
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
    tell_of(connection, desk, now, Event.HOLD_ORDERED, int(key[0]), scope, until=ends_at.isoformat() if ends_at else None)
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

    Returns:
        how many were marked as held, and how many run again.
    """
    now, pending = retried(partial(_pending, desk))
    done = {"held": 0, "resumed": 0}
    for one in pending:
        if one.closed_at is None and (one.is_over(now) or one.caught_at is None or now - one.caught_at >= LOOKED_AGAIN):
            for kind in desk.book.active():
                until_short(partial(_catch, desk, now, kind, one, done), limit=None, size=BATCH)
                if one.caught_at is None and one.reaches_back:
                    _reach_back_all(desk, now, kind, one)
            # Only once all are marked: until then the hold itself keeps every sweep away.
            retried(partial(_mark, desk, one, caught_at=now, **({"closed_at": now} if one.is_over(now) else {})))
    ended = [one for one in pending if one.is_over(now)]
    if ended:
        for kind in desk.book.kinds:
            done["resumed"] += _release_all(desk, now, kind, "its hold has ended")
        for one in ended:
            retried(partial(_mark, desk, one, done_at=now))
    return done


def _pending(desk: Desk) -> tuple[datetime, Sequence[Hold]]:
    """The present, and the holds that somebody has still to carry out."""
    with reading(desk.engine) as connection:
        now = desk.clock.now(connection)
        return now, unfinished(connection, now)


def release_uncovered(desk: Desk) -> dict[str, int]:
    """Let deadlines run again that are held and that no hold covers, such as those of rows that left their hold's scope.

    Returns:
        how many run again, of each kind of which any does.
    """
    now, _ = retried(partial(_pending, desk))
    done = {kind.name: _release_all(desk, now, kind, "no hold covers it any more") for kind in desk.book.kinds}
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


def _release_all(desk: Desk, now: datetime, kind: DeadlineKind, reason: str) -> int:
    """Let every held deadline of a kind run again that no hold covers any more, page by page."""
    done, after = 0, 0
    while True:
        after, ran = retried(partial(_release_page, desk, now, kind, reason, after))
        done += ran
        if not after:
            return done


def _release_page(desk: Desk, now: datetime, kind: DeadlineKind, reason: str, after: int) -> tuple[int, int]:
    with writing(desk.engine) as connection:
        still = [one.scope for one in standing(connection, now)]
        free = ~exists().where(kind.binds(), any_of(kind, still)).correlate(deadlines)
        chosen = select(deadlines.c.id).where(deadlines.c.kind == kind.name, deadlines.c.state == "held", free)
        page = list(connection.execute(chosen.where(deadlines.c.id > after).order_by(deadlines.c.id).limit(BATCH)).scalars())
        until = until_when(connection, kind, unfinished(connection, now), page, now)
        ran = release(connection, desk.book, desk.hand, now, kind, until, reason)
        return (page[-1] if len(page) == BATCH else 0), ran


def _mark(desk: Desk, one: Hold, **values: Any) -> None:
    with writing(desk.engine) as connection:
        connection.execute(update(holds).where(holds.c.id == one.id, holds.c.done_at.is_(None)).values(values))


def tell_of(connection: Connection, desk: Desk, now: datetime, event: Event, number: int, scope: Scope, **more: Any) -> None:
    """Record that somebody ordered or ended a hold."""
    detail = {"hold": number, "scope": scope.document(), **desk.said(), **more}
    told = {"kind": scope.kind, "subject_id": scope.subject_id, "event": event, "at": now, "actor": desk.hand.actor}
    connection.execute(insert(events).values(**told, detail=detail))
