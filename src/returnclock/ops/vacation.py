"""Vacations of sellers: announced and taken back by hand, and applied to what runs. Imports vacations, holds and targets."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select, update

from returnclock import ledger
from returnclock.database import retried, writing
from returnclock.errors import BadPolicy, BadUsage, NotFound, Refused
from returnclock.facts import zone_or
from returnclock.kinds import DeadlineKind, Party
from returnclock.moves import beginning, dates_of, history_of, moved_values, telling, write_moves
from returnclock.ops.targets import Desk, Pages
from returnclock.remaining import layered
from returnclock.tables.clock import LIVE_STATES, deadlines, events, policies
from returnclock.tables.interventions import vacations
from returnclock.tables.market import orders, sellers
from returnclock.telemetry import Event
from returnclock.vacations import LONGEST, announced, away_by_seller, days_granted


def announce(desk: Desk, seller_id: int, first_day: date, last_day: date) -> dict[str, Any]:
    """Announce a vacation now, and move what runs for it.

    Raises:
        NotFound: there is no such seller.
        BadUsage: it ends before it begins, or is longer than a year.
        Refused: no day of it would be granted, because all are past or the year's cap is reached; or sellers are mapped.
    """
    if not 0 <= (last_day - first_day).days < LONGEST:
        raise BadUsage(reason=f"{first_day} to {last_day} is no vacation: it ends before it begins, or is longer than a year.")
    if desk.book.market.mapped:
        raise Refused(reason="vacations are kept of sellers in the contract's own table, and [market] maps them onto others.")
    with writing(desk.engine) as connection:
        now = desk.clock.now(connection)
        local = _zone_of(connection, desk, seller_id)
        row = {"seller_id": seller_id, "first_day": first_day, "last_day": last_day, "announced_at": now}
        key = connection.execute(insert(vacations).values(row)).inserted_primary_key
        assert key is not None
        cap = desk.book.guards.vacation_days_a_year
        granted = days_granted(announced(connection, [seller_id]).get(seller_id, []), local, cap)
        days = sorted(day for day, by in granted.items() if by == key[0])
        if not days:
            raise Refused(reason=f"no day of it would count: all are past, or {cap} days of the year are granted already.")
        result = {"vacation": int(key[0]), "seller": seller_id, **desk.said(), "granted": len(days), "days": days}
        _tell(connection, desk, now, Event.VACATION_ANNOUNCED, seller_id, vacation=int(key[0]), granted=len(days))
        if desk.dry_run:
            connection.rollback()
            return {**result, "vacation": None, "moved": 0, "dry_run": True}
    return {**result, "moved": apply(desk), "dry_run": False}


def take_back(desk: Desk, number: int) -> dict[str, Any]:
    """Take a vacation back: its later days count again for what is stamped from now on. Dates that were given stay.

    What it frees of the year's cap goes to the seller's other vacations, and moves what runs for them.

    Raises:
        NotFound: there is no such vacation.
        Refused: it was taken back already.
    """
    with writing(desk.engine) as connection:
        now = desk.clock.now(connection)
        row = connection.execute(select(vacations).where(vacations.c.id == number).with_for_update()).one_or_none()
        if row is None:
            raise NotFound(what="vacation", which=number, hint='; "returnclock vacation list" shows them')
        if row.removed_at is not None:
            raise Refused(reason=f"vacation {number} was taken back already.")
        result = {"vacation": number, "seller": row.seller_id, **desk.said(), "dry_run": desk.dry_run}
        if desk.dry_run:
            return {**result, "moved": 0}
        connection.execute(update(vacations).where(vacations.c.id == number).values(removed_at=now))
        others = (vacations.c.seller_id == row.seller_id, vacations.c.removed_at.is_(None))
        connection.execute(update(vacations).where(*others).values(applied_at=None))
        _tell(connection, desk, now, Event.VACATION_REMOVED, row.seller_id, vacation=number)
    return {**result, "moved": apply(desk)}


def apply(desk: Desk) -> int:
    """Move the running deadlines of sellers who have announced a vacation since they were stamped.

    Returns:
        how many were moved.
    """
    return retried(lambda: _apply(desk))


def _apply(desk: Desk) -> int:
    with writing(desk.engine) as connection:
        now = desk.clock.now(connection)
        chosen = select(vacations).where(vacations.c.applied_at.is_(None)).order_by(vacations.c.id).with_for_update()
        waiting = connection.execute(chosen).all()
        moved, done = 0, set()
        for seller_id in sorted({row.seller_id for row in waiting}):
            pages = Pages(connection)
            local = _zone_or_market(connection, desk, seller_id)
            away = away_by_seller(connection, {seller_id: local}, desk.book.guards.vacation_days_a_year).get(seller_id)
            for kind in desk.book.active() if away else ():
                if kind.party is Party.SELLER and kind.order_id is not None:
                    moved += _move(pages, desk, kind, seller_id, away or frozenset(), now)
            if not pages.left:  # else it is gone through again by the next sweep; what was moved is not moved twice
                done.add(seller_id)
        ids = [row.id for row in waiting if row.seller_id in done]
        if ids:
            connection.execute(update(vacations).where(vacations.c.id.in_(ids)).values(applied_at=now))
        return moved


def _move(pages: Pages, desk: Desk, kind: DeadlineKind, seller_id: int, away: frozenset[date], now: datetime) -> int:
    connection = pages.connection
    of_seller = select(orders.c.id).where(orders.c.id == kind.order_id, orders.c.seller_id == seller_id)
    chosen = select(deadlines, policies.c.definition).join(policies, policies.c.id == deadlines.c.policy_id)
    chosen = chosen.join(kind.subject, kind.still_true()).where(deadlines.c.kind == kind.name)
    chosen = chosen.where(deadlines.c.state.in_(LIVE_STATES), of_seller.correlate(kind.subject).exists())
    moved = 0
    for rows in pages.of(chosen, kind):
        history = history_of(connection, [row.id for row in rows])
        moves: dict[str, list[dict[str, Any]]] = {"running": [], "held": []}
        told = []
        for row in rows:
            dates = dates_of(desk.book, row, beginning(row, history[row.id]))
            dates = dates.leaving_out(away, after=now.astimezone(dates.zone).date())
            try:
                reckoned = layered(dates, now)
            except (BadPolicy, OverflowError):
                continue  # past what calendars know, or past the year 9999: it keeps its date
            if reckoned.promised_at > row.promised_at:
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
