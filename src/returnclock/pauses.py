"""Pauses: a task or a kind that rests until somebody, or a date, ends it. Whoever is about to act asks here.

Imports tables.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from returnclock.ledger import Hand
from returnclock.tables.clock import events
from returnclock.tables.interventions import pauses
from returnclock.telemetry import Event


def in_force(now: Any) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a pause holds at an instant, or at a parameter that gets one."""
    return pauses.c.ended_at.is_(None), or_(pauses.c.until.is_(None), pauses.c.until > now)


def standing(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Every pause that holds now, oldest first."""
    chosen = select(pauses).where(*in_force(now)).order_by(pauses.c.id)
    return [dict(row._mapping) for row in connection.execute(chosen)]


def of(connection: Connection, now: datetime, what: str, name: str) -> dict[str, Any] | None:
    """The pause of one task or kind, if it rests now."""
    return next((pause for pause in standing(connection, now) if (pause["what"], pause["name"]) == (what, name)), None)


def begin(connection: Connection, hand: Hand, now: datetime, what: str, name: str, reason: str, until: datetime | None) -> int:
    """Let a task or a kind rest from now on; what rests already rests by this word too, until both have ended."""
    row = {"what": what, "name": name, "reason": reason, "actor": hand.actor, "paused_at": now, "until": until}
    key = connection.execute(insert(pauses).values(row)).inserted_primary_key
    assert key is not None
    _tell(connection, hand, now, Event.PAUSED, what, name, reason, until)
    return int(key[0])


def end(connection: Connection, hand: Hand, now: datetime, what: str, name: str, reason: str) -> int:
    """End every pause of a task or kind that holds now.

    Returns:
        how many pauses were ended.
    """
    ending = update(pauses).where(pauses.c.what == what, pauses.c.name == name, *in_force(now))
    ended = connection.execute(ending.values(ended_at=now, ended_by=hand.actor)).rowcount
    if ended:
        _tell(connection, hand, now, Event.UNPAUSED, what, name, reason, None)
    return ended


def _tell(
    connection: Connection, hand: Hand, now: datetime, event: Event, what: str, name: str, reason: str, until: datetime | None
) -> None:
    detail = {"what": what, "name": name, "reason": reason, "until": until.isoformat() if until else None}
    told = {"kind": name if what == "kind" else None, "event": event, "at": now, "actor": hand.actor, "detail": detail}
    connection.execute(insert(events).values(told))
