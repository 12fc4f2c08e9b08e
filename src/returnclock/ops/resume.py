"""Resume: ends a hold, or takes a row out of those that cover it, and what was left is given back. Imports hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from returnclock.errors import NotFound, Refused
from returnclock.holds import Hold, covered, spans_under, standing, unfinished
from returnclock.kinds import DeadlineKind
from returnclock.ops.hold import enact, tell_of
from returnclock.ops.targets import Desk, counted
from returnclock.ops.turn import in_turn
from returnclock.scopes import Scope
from returnclock.standstill import mark, release
from returnclock.tables.clock import LIVE_STATES, deadlines
from returnclock.tables.interventions import holds
from returnclock.tables.keys import among, by_index
from returnclock.telemetry import Event


def resume_row(desk: Desk, scope: Scope) -> dict[str, Any]:
    """Let the deadlines of one row, or the one that is named, run again, whatever holds cover it; wider ones go on without it.

    Raises:
        Refused: nothing of it is held.
        CommitUncertain: as `in_turn` does.
    """
    return in_turn(desk.engine, partial(_resume_row, desk, scope), str(scope))


def _resume_row(desk: Desk, scope: Scope, connection: Connection) -> dict[str, Any]:
    now = desk.clock.now(connection)
    kinds = [kind for kind in desk.book.kinds if scope.means(kind)]
    bound = _locked(connection, kinds, scope, now)
    ending = unfinished(connection, now)
    held = {kind: _held_under(connection, desk, now, kind, scope, bound) for kind in kinds}
    if not any(held.values()) and not bound:
        raise Refused(reason=f"{scope} is not held; there is nothing to resume.")
    result = {"holds": [one.id for one in bound], "scope": scope.document(), **desk.said()}
    result |= {"matched": sum(map(len, held.values())), "dry_run": desk.dry_run}
    if desk.dry_run:
        connection.rollback()
        return {**result, "resumed": 0}
    # Before the row is taken out of the holds: they say from when to when it stood still.
    spans = {kind: spans_under(connection, kind, ending, ids, now) for kind, ids in held.items()}
    for one in bound:
        _end_for_row(connection, desk, now, one, scope)
    done = sum(release(connection, desk.book, desk.hand, now, kind, spans[kind], desk.reason) for kind in kinds)
    return {**result, "resumed": done}


def resume_hold(desk: Desk, number: int) -> dict[str, Any]:
    """End one hold now and let its deadlines run again, but for those that another hold covers.

    Raises:
        NotFound: there is no such hold.
        Refused: it has ended already.
        CommitUncertain: as `in_turn` does.
    """
    result = in_turn(desk.engine, partial(_end, desk, number), f"hold {number}")
    return {**result, "resumed": 0 if desk.dry_run else enact(desk)["resumed"]}


def _end(desk: Desk, number: int, connection: Connection) -> dict[str, Any]:
    now = desk.clock.now(connection)
    row = connection.execute(select(holds).where(holds.c.id == number).with_for_update()).one_or_none()
    if row is None:
        raise NotFound(what="hold", which=number, hint='; "returnclock holds" lists them')
    if row.closed_at is not None or (row.ends_at is not None and row.ends_at <= now):
        raise Refused(reason=f"hold {number} has ended already.")
    scope = Scope.from_document(row.scope)
    result = {"holds": [number], "scope": row.scope, **desk.said(), "dry_run": desk.dry_run}
    result["matched"] = sum(counted(connection, desk.book, scope, "held").values())
    if desk.dry_run:
        return result
    ended = {"ends_at": now, "ended_by": desk.hand.actor, "end_reason": desk.reason}
    if row.starts_at > now:  # it never began
        ended |= {"starts_at": now, "closed_at": now, "done_at": now}
    connection.execute(update(holds).where(holds.c.id == number).values(ended))
    tell_of(connection, desk, now, Event.HOLD_ENDED, number, scope)
    return result


def _locked(connection: Connection, kinds: Sequence[DeadlineKind], scope: Scope, now: datetime) -> list[Hold]:
    """Lock the holds that cover a row, and read them once more: another operator may just have ended or narrowed one.

    Holds before deadlines, as whoever marks them: what is marked under these holds is seen, and none is marked later.
    """
    cover = [one for one in standing(connection, now) if any(_covers_row(connection, kind, one, scope) for kind in kinds)]
    locking = select(holds.c.id).where(among(holds.c.id, [one.id for one in cover])).order_by(holds.c.id)
    locked = set(connection.execute(locking.with_for_update()).scalars()) if cover else set()
    again = [one for one in standing(connection, now) if one.id in locked] if cover else []
    return [one for one in again if any(_covers_row(connection, kind, one, scope) for kind in kinds)]


def _held_under(
    connection: Connection, desk: Desk, now: datetime, kind: DeadlineKind, scope: Scope, bound: Sequence[Hold]
) -> list[int]:
    """Lock the row's deadlines of a kind that stand still, also those that the holds cover and nobody has marked yet."""
    of_row = (deadlines.c.kind == kind.name, deadlines.c.subject_id == scope.subject_id)
    live = list(connection.execute(select(deadlines.c.id).where(*of_row, deadlines.c.state.in_(LIVE_STATES))).scalars())
    if not live:
        return []
    for one in bound:
        mark(connection, desk.hand, now, kind, sorted(covered(connection, kind, [one], live)), [one])
    # By their ids: the index of the rows is locked by purge in another order.
    held = by_index(select(deadlines.c.id).where(among(deadlines.c.id, live), deadlines.c.state == "held"), deadlines)
    return list(connection.execute(held.order_by(deadlines.c.id).with_for_update()).scalars())


def _covers_row(connection: Connection, kind: DeadlineKind, one: Hold, scope: Scope) -> bool:
    chosen = select(deadlines.c.id).join(kind.subject, kind.binds()).where(deadlines.c.kind == kind.name)
    chosen = chosen.where(deadlines.c.subject_id == scope.subject_id, one.scope.covers(kind))
    return connection.execute(chosen.limit(1)).first() is not None


def _end_for_row(connection: Connection, desk: Desk, now: datetime, one: Hold, scope: Scope) -> None:
    """End a hold that covers nothing else; take the row, or its deadline of a kind, out of a wider one."""
    assert scope.table is not None and scope.subject_id is not None
    # Read again under lock: two who take rows out at once must not lose one of them.
    row = connection.execute(select(holds.c.scope).where(holds.c.id == one.id).with_for_update()).scalar_one()
    left = Scope.from_document(row).without(scope.table, scope.subject_id, scope.kind)
    values: dict[str, Any] = {"scope": left.document()}
    if not any(left.means(kind) for kind in desk.book.kinds):
        values = {"closed_at": now, "done_at": now}
        if not one.is_over(now):  # else it keeps who ended it, and when
            values |= {"ends_at": now, "ended_by": desk.hand.actor, "end_reason": desk.reason}
    connection.execute(update(holds).where(holds.c.id == one.id).values(values))
    tell_of(connection, desk, now, Event.HOLD_ENDED, one.id, scope)
