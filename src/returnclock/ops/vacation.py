"""Vacations of sellers: announced and taken back by hand, and applied to what runs.

Imports vacations, turnstile, turn and targets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select, exists, insert, literal, select, update

from returnclock import ledger, problems, turnstile
from returnclock.database import reading, retried, writing
from returnclock.errors import BadUsage, NotFound, Refused
from returnclock.facts import zone_or
from returnclock.faults import faults_of_vacations
from returnclock.kinds import DeadlineKind, Party
from returnclock.moves import beginning, dates_of, days_left_out, history_of, moved_values, telling, write_moves
from returnclock.ops.targets import Desk, Pages
from returnclock.ops.turn import InHand, in_turn
from returnclock.remaining import layered
from returnclock.sqlstates import is_of_no_row
from returnclock.standstill import SETTLES_IN
from returnclock.tables.clock import LIVE_STATES, deadlines, events, policies
from returnclock.tables.interventions import vacations
from returnclock.tables.keys import among
from returnclock.tables.market import orders, sellers
from returnclock.tables.types import Instant
from returnclock.telemetry import Event
from returnclock.vacations import LONGEST, announced, days_announced, days_granted, unapplied, waiting, wrong_with


def announce(desk: Desk, seller_id: int, first_day: date, last_day: date) -> dict[str, Any]:
    """Announce a vacation now, and move what runs for it.

    Raises:
        NotFound: there is no such seller.
        BadUsage: it ends before it begins, or is longer than a year.
        Refused: no day of it would be granted, because all are past or the year's cap is reached; or sellers are mapped.
        CommitUncertain: as `in_turn` does.
    """
    if not 0 <= (last_day - first_day).days < LONGEST:
        raise BadUsage(reason=f"{first_day} to {last_day} is no vacation: it ends before it begins, or is longer than a year.")
    if desk.book.market.mapped:
        raise Refused(reason="vacations are kept of sellers in the contract's own table, and [market] maps them onto others.")
    result = in_turn(desk.engine, partial(_announce, desk, seller_id, first_day, last_day), f"seller {seller_id}")
    return result if desk.dry_run else {**result, "moved": retried(partial(_apply_of, desk, seller_id))}


def _announce(desk: Desk, seller_id: int, first_day: date, last_day: date, connection: Connection) -> dict[str, Any]:
    local = _zone_of(connection, desk, seller_id)
    # One at a time, so that no two grant the same days of the year's cap. Not by a lock on the seller's row: that is a front
    # end's, our account may not lock it, and would wait for its orders.
    turnstile.passed(connection, vacations.name, desk.clock.now(connection))
    now = desk.clock.now(connection)  # only now: those announced first come first
    row = {"seller_id": seller_id, "first_day": first_day, "last_day": last_day, "announced_at": now}
    key = connection.execute(insert(vacations).values(row)).inserted_primary_key
    assert key is not None
    cap = desk.book.guards.vacation_days_a_year
    granted = days_granted(announced(connection, [seller_id]).get(seller_id, []), local, cap)
    days = sorted(day for day, by in granted.items() if by == key[0])
    if not days:
        raise Refused(reason=f"no day of it would count: all are past, or {cap} days of the year are granted already.")
    result = {"vacation": int(key[0]), "seller": seller_id, **desk.said(), "granted": len(days), "days": days}
    span = {"first_day": first_day.isoformat(), "last_day": last_day.isoformat()}
    _tell(connection, desk, now, Event.VACATION_ANNOUNCED, seller_id, vacation=int(key[0]), granted=len(days), **span)
    if desk.dry_run:
        moved, _ = _move_all(connection, desk, seller_id, {int(key[0])}, now, None)
        connection.rollback()
        return {**result, "vacation": None, "moved": moved, "dry_run": True}
    return {**result, "dry_run": False}


def take_back(desk: Desk, number: int) -> dict[str, Any]:
    """Take a vacation back: its later days count again for what is stamped from now on. Dates that were given stay.

    What it frees of the year's cap goes to the seller's other vacations, and moves what runs for them.

    Raises:
        NotFound: there is no such vacation.
        Refused: it was taken back already.
        CommitUncertain: as `in_turn` does.
    """
    result = in_turn(desk.engine, partial(_take_back, desk, number), f"vacation {number}")
    return {**result, "moved": 0 if desk.dry_run else retried(partial(_apply_of, desk, result["seller"]))}


def _take_back(desk: Desk, number: int, connection: Connection) -> dict[str, Any]:
    chosen = select(vacations.c.seller_id, vacations.c.removed_at).where(vacations.c.id == number)
    if connection.execute(chosen).first() is None:
        raise NotFound(what="vacation", which=number, hint='; "returnclock vacation list" shows them')
    # This row alone: two who took back two of a seller's, and locked the other's as well, would meet in a deadlock.
    row = connection.execute(chosen.with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        raise InHand
    if row.removed_at is not None:
        raise Refused(reason=f"vacation {number} was taken back already.")
    if not desk.dry_run:
        now = desk.clock.now(connection)
        # As if it had never been applied: the seller's deadlines are gone through for what the others now grant.
        _note(connection, [number], removed_at=now, applied_at=None, settled_at=None)
        _tell(connection, desk, now, Event.VACATION_REMOVED, row.seller_id, vacation=number)
    return {"vacation": number, "seller": row.seller_id, **desk.said(), "dry_run": desk.dry_run}


def apply(desk: Desk) -> int:
    """Move the live deadlines of sellers whose vacations are not applied or not settled yet, each seller in one transaction.

    Who read the vacations before one was committed, and commits only after it was applied, is caught by further looks, until
    one that comes when no such transaction lives any more. What was moved is not moved twice.

    Raises:
        Exception: whatever one seller's deadlines raise; those of the other sellers are moved before it is told.

    Returns:
        how many were moved.
    """
    moved, faults = 0, []
    for seller_id in retried(partial(_waiting, desk)):
        try:
            moved += retried(partial(_apply_of, desk, seller_id))
        except Exception as fault:
            if is_of_no_row(fault):
                raise  # nothing of any seller
            faults.append(fault)
    if faults:
        raise faults[0]
    return moved


def _waiting(desk: Desk) -> Sequence[int]:
    with reading(desk.engine) as connection:
        now = literal(desk.clock.now(connection), Instant())
        chosen = select(vacations.c.seller_id).where(waiting(now)).distinct()
        return connection.execute(chosen.order_by(vacations.c.seller_id)).scalars().all()


def _apply_of(desk: Desk, seller_id: int) -> int:
    with writing(desk.engine) as connection:
        now = desk.clock.now(connection)
        new = unapplied(literal(now, Instant())).label("is_new")
        chosen = select(vacations.c.id, vacations.c.applied_at, new).where(vacations.c.seller_id == seller_id)
        chosen = chosen.where(waiting(literal(now, Instant()))).order_by(vacations.c.id)
        # What a front end or another worker has in hand waits for the next tick, and no sweep for them.
        found = connection.execute(chosen.with_for_update(skip_locked=True)).all()
        wrong = _wrong(connection, [row.id for row in found], now)
        rows = [row for row in found if row.id not in wrong]
        if not rows:
            return 0
        since = None if any(row.is_new for row in rows) else min(row.applied_at for row in rows) - SETTLES_IN
        moved, left = _move_all(connection, desk, seller_id, {row.id for row in rows}, now, since)
        if not left:  # else it is gone through again by the next sweep
            _note(connection, [row.id for row in rows if row.is_new], applied_at=now, settled_at=None)
            settled = [row.id for row in rows if not row.is_new and row.applied_at + SETTLES_IN <= now]
            _note(connection, settled, settled_at=now)
        return moved


def _wrong(connection: Connection, ids: Sequence[int], now: datetime) -> set[int]:
    """Those that are written so that they grant no day: they wait until they are mended, and problems say of each why."""
    faults = faults_of_vacations(connection, ids)
    problems.record(connection, {(vacations.name, str(one)) for one in ids}, faults, now)
    return {int(fault.subject_id) for fault in faults}


def _note(connection: Connection, ids: Sequence[int], **values: datetime | None) -> None:
    if ids:
        connection.execute(update(vacations).where(among(vacations.c.id, ids)).values(values))


def _move_all(
    connection: Connection, desk: Desk, seller_id: int, ids: Collection[int], now: datetime, since: datetime | None
) -> tuple[int, int]:
    """Move the live deadlines of a seller for vacations, or only those to which something happened ``since``.

    ids: those of the vacations that wait.

    Returns:
        how many were moved, and how many somebody had in hand.
    """
    pages, moved = Pages(connection, endless=True), 0
    of_seller = announced(connection, [seller_id]).get(seller_id, [])
    local = _zone_or_market(connection, desk, seller_id)
    away = days_announced(of_seller, local, desk.book.guards.vacation_days_a_year)
    # Not what was announced longer ago: each had its turn, and what a raised cap grants of one moves nothing that runs.
    heard = min((row.announced_at for row in of_seller if row.id in ids and wrong_with(row) is None), default=now)
    for kind in desk.book.active() if away else ():
        if kind.party is Party.SELLER and kind.order_id is not None:
            chosen = _live_of(kind, seller_id)
            if since is not None:
                # Not what was moved here: that knew the vacation, and would be gone through again with every look.
                lately = exists().where(events.c.deadline_id == deadlines.c.id, events.c.at >= since)
                chosen = chosen.where(lately.where(events.c.event != Event.POSTPONED).correlate(deadlines))
            moved += _move(pages, desk, kind, chosen, away, heard, now)
    return moved, pages.left


def _live_of(kind: DeadlineKind, seller_id: int) -> Select[Any]:
    of_seller = select(orders.c.id).where(orders.c.id == kind.order_id, orders.c.seller_id == seller_id)
    chosen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
    chosen = chosen.join(kind.subject, kind.still_true()).where(deadlines.c.kind == kind.name)
    return chosen.where(deadlines.c.state.in_(LIVE_STATES), of_seller.correlate(kind.subject).exists())


def _move(
    pages: Pages,
    desk: Desk,
    kind: DeadlineKind,
    chosen: Select[Any],
    away: Mapping[date, datetime],
    heard: datetime,
    now: datetime,
) -> int:
    """Move what is chosen as it would have been moved if somebody had come as soon as they were ``heard`` of."""
    connection = pages.connection
    moved = 0
    for rows in pages.of(chosen, kind):
        history = history_of(connection, [row.id for row in rows])
        moves: dict[str, list[dict[str, Any]]] = {"running": [], "held": []}
        told = []
        for row in rows:
            dates = dates_of(desk.book, row, beginning(row, history[row.id]))
            since = max(heard, dates.starts)
            left_out = days_left_out(away, history[row.id], dates, now)
            dates = dates.leaving_out(left_out, after=dates.day_of(since))
            reckoned = layered(dates, since)
            if reckoned is not None:
                moves[row.state].append(moved_values(desk.book, kind, row, dates, reckoned, now))
                told.append(telling(kind, row, reckoned, reason="the seller has announced a vacation"))
        for state, those in moves.items():
            write_moves(connection, those, state, state)
        ledger.record_each(connection, desk.hand, now, Event.POSTPONED, told)
        moved += len(told)
    return moved


def _zone_of(connection: Connection, desk: Desk, seller_id: int) -> ZoneInfo:
    if connection.execute(select(sellers.c.id).where(sellers.c.id == seller_id)).first() is None:
        raise NotFound(what="seller", which=seller_id, hint="")
    return _zone_or_market(connection, desk, seller_id)


def _zone_or_market(connection: Connection, desk: Desk, seller_id: int) -> ZoneInfo:
    named = connection.execute(select(sellers.c.time_zone).where(sellers.c.id == seller_id)).scalar_one_or_none()
    return zone_or(named, desk.book.market_zone)


def _tell(connection: Connection, desk: Desk, now: datetime, event: Event, seller_id: int, **more: Any) -> None:
    told = {"subject_id": str(seller_id), "event": event, "at": now, "actor": desk.hand.actor}
    connection.execute(insert(events).values(**told, detail={"seller": seller_id, **desk.said(), **more}))
