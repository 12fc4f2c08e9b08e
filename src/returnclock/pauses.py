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
    until_then = until.isoformat() if until else None
    _tell(connection, hand, now, Event.PAUSED, what, name, pause=int(key[0]), reason=reason, until=until_then)
    return int(key[0])


def end(connection: Connection, hand: Hand, now: datetime, what: str, name: str, reason: str) -> int:
    """End every pause of a task or kind that holds now, with an event for each.

    Returns:
        how many pauses were ended.
    """
    chosen = select(pauses.c.id, pauses.c.paused_at).where(pauses.c.what == what, pauses.c.name == name, *in_force(now))
    ending = connection.execute(chosen.order_by(pauses.c.id).with_for_update()).all()
    ended = update(pauses).where(pauses.c.id.in_([row.id for row in ending]))
    connection.execute(ended.values(ended_at=now, ended_by=hand.actor))
    for row in ending:
        _tell(connection, hand, now, Event.UNPAUSED, what, name, pause=row.id, reason=reason, since=row.paused_at.isoformat())
    return len(ending)


def _tell(connection: Connection, hand: Hand, now: datetime, event: Event, what: str, name: str, **more: Any) -> None:
    detail = {"what": what, "name": name, **more}
    told = {"kind": name if what == "kind" else None, "event": event, "at": now, "actor": hand.actor, "detail": detail}
    connection.execute(insert(events).values(told))
