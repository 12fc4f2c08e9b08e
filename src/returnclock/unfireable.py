"""Deadlines that are due and true and whose effect the database refuses: what keeps one is said, and it is passed over.

A check of the shop's, or a trigger that refuses the change, breaks the batch for all. The sweep finds the row and sets it aside
here, as stamp does with one that it cannot read; it is tried again every few minutes. Imports problems.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, select, update

from returnclock import problems
from returnclock.faults import Fault
from returnclock.kinds import DeadlineKind
from returnclock.sqlstates import reason_of
from returnclock.tables.clock import CANNOT_FIRE, deadlines, is_set_aside
from returnclock.tables.clock import problems as kept
from returnclock.tables.keys import among

AGAIN_AFTER = timedelta(minutes=5)


def record(connection: Connection, kind: DeadlineKind, subject_id: str, fault: Exception, now: datetime) -> int:
    """Say in ``clock_problems`` why the deadline of this row cannot take effect.

    Returns:
        1 where the problem is new or came back, else 0.
    """
    table = kind.subject.name
    reason = reason_of(fault)[:300]
    said = (
        f"{table} {subject_id}: {kind.title} is over, and the database refuses its effect: {reason}. Mend the row, or the rule "
        f"of the database that refuses; it is tried again every {AGAIN_AFTER.seconds // 60} minutes."
    )
    return problems.record(connection, (), [Fault(table, subject_id, CANNOT_FIRE, said, kind.name)], now)


def not_set_aside(kind: DeadlineKind, now: datetime) -> ColumnElement[bool]:
    """The condition that a deadline of the kind is not one that was just tried in vain."""
    of_it = (kept.c.kind == kind.name, kept.c.subject_id == deadlines.c.subject_id, kept.c.table_name == kind.subject.name)
    return ~exists().where(*of_it, is_set_aside, kept.c.last_seen_at > now - AGAIN_AFTER).correlate(deadlines)


def is_any(connection: Connection) -> bool:
    """Whether any deadline is set aside."""
    return connection.execute(select(kept.c.id).where(is_set_aside).limit(1)).first() is not None


def close_mended(connection: Connection, now: datetime) -> int:
    """Close the problems of deadlines that have taken effect, stopped running, or are no longer due.

    Returns:
        how many were closed.
    """
    waits: Any = (deadlines.c.kind == kept.c.kind, deadlines.c.subject_id == kept.c.subject_id, deadlines.c.due_at <= now)
    due = exists().where(*waits, deadlines.c.state == "running").correlate(kept)
    mended = connection.execute(select(kept.c.id).where(is_set_aside, ~due)).scalars().all()
    problems.lock(connection, mended)
    closing = update(kept).where(among(kept.c.id, mended), is_set_aside, ~due)
    return connection.execute(closing.values(resolved_at=now)).rowcount if mended else 0
