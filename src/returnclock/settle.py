"""Settles deadlines whose rows stopped running, takes back flags that are no longer deserved, notes what a shop took back.

Imports the nouns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, exists, insert, literal, select, update

from returnclock import ledger
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.tables.clock import LIVE_STATES, changes, deadlines, events
from returnclock.tables.keys import among, by_index, keys_of
from returnclock.tables.types import Instant
from returnclock.telemetry import Event


def settle(connection: Connection, hand: Hand, now: datetime, kind: DeadlineKind, ids: Sequence[int]) -> int:
    """Settle those of the deadlines whose row does not run from the same start: met where the party acted, else void.

    Returns:
        how many were settled.
    """
    if not ids:
        return 0
    runs = exists().where(kind.still_true()).correlate(deadlines)
    met = exists().where(kind.binds(), kind.met_when).correlate(deadlines)
    live = (among(deadlines.c.id, ids), deadlines.c.state.in_(LIVE_STATES))
    chosen = by_index(select(deadlines.c.id).where(*live, ~runs), deadlines).order_by(deadlines.c.id)
    stopped = list(connection.execute(chosen.with_for_update()).scalars())
    if stopped:
        connection.execute(
            update(deadlines)
            .where(among(deadlines.c.id, stopped))
            .values(state=case((met, "met"), else_="void"), settled_at=now, remind_at=None)
        )
        named = case(
            (deadlines.c.state == "met", literal(Event.MET.value, events.c.event.type)),
            else_=literal(Event.VOIDED.value, events.c.event.type),
        )
        ledger.record(connection, hand, now, named, stopped)
    return len(stopped)


def withdraw(connection: Connection, hand: Hand, now: datetime, kind: DeadlineKind, fired: Sequence[int]) -> int:
    """Take back what firing flagged where the row no longer deserves it (a refund cancelled after it was late).

    Returns:
        how many flags were taken back.
    """
    if kind.withdrawn_when is None or not fired:
        return 0
    chosen = select(deadlines.c.id, deadlines.c.subject_id).select_from(deadlines).join(kind.subject, kind.binds())
    chosen = chosen.where(among(deadlines.c.id, fired), deadlines.c.state == "fired", kind.withdrawn_when)
    deserving = connection.execute(chosen.order_by(deadlines.c.id)).all()
    # A front end may hold the row for long: it is noted again, and nobody waits for it.
    of = None if connection.dialect.name in ("mysql", "mariadb") else [kind.subject]
    locking = chosen.where(among(deadlines.c.id, [row.id for row in deserving])).order_by(deadlines.c.id)
    rows = connection.execute(locking.with_for_update(skip_locked=True, of=of)).all() if deserving else []
    held = {row.subject_id for row in deserving} - {row.subject_id for row in rows}
    if held:
        again = [{"table_name": kind.subject.name, "subject_id": subject_id} for subject_id in sorted(held)]
        connection.execute(insert(changes), again)
    if rows:
        cleared: dict[str, Any] = dict.fromkeys(kind.withdrawal)
        keys = keys_of([row.subject_id for row in rows], kind.subject_key)
        if cleared:
            taking_back = update(kind.subject).where(among(kind.subject_key, keys), *kind.only, kind.withdrawn_when)
            connection.execute(taking_back.values(kind.touching(literal(now, Instant())) | cleared))
        ids = [row.id for row in rows]
        connection.execute(update(deadlines).where(among(deadlines.c.id, ids)).values(state="void"))
        ledger.record(connection, hand, now, kind.withdrawn_event, ids)
    return len(rows)


def note_reverted(connection: Connection, hand: Hand, now: datetime, kind: DeadlineKind, fired: Sequence[int]) -> None:
    """Record, once for each firing, that its row runs again: the shop has taken back what firing did to it.

    What the shop does to the row from then on is its own doing, though the row may look as firing left it; `undo` asks for
    this. A shop that takes back and does the same again between two stamps is not seen, and where firing writes no instant
    cannot be told from one that did nothing.

    fired: deadlines that are locked, so that of two workers who see the same the second finds the first one's event.
    """
    if not fired:
        return
    asked = (among(events.c.deadline_id, fired), events.c.event.in_((kind.event, Event.REVERTED.value)))
    found = connection.execute(select(events.c.deadline_id, events.c.event).where(*asked).order_by(events.c.id))
    last = {row.deadline_id: row.event for row in found}
    ledger.record(connection, hand, now, Event.REVERTED, [one for one in fired if last.get(one) != Event.REVERTED])
