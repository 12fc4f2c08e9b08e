"""Writes new deadlines, each with the event that explains it; another worker's is left alone. Imports bulk and the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Insert, and_, bindparam, insert, literal, select
from sqlalchemy.dialects import postgresql

from returnclock import ledger
from returnclock.bulk import arrays, given, insert_rows
from returnclock.ledger import Hand
from returnclock.tables.clock import deadlines, events
from returnclock.telemetry import Event

_UNIQUE = (deadlines.c.kind, deadlines.c.subject_id, deadlines.c.starts_at)


def insert_explained(connection: Connection, hand: Hand, rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> int:
    """Insert deadlines of one kind (their columns, the detail of their event), of which no two have the same key.

    Returns:
        how many were written; those whose key (kind, subject_id, starts_at) is taken are not, and get no event.
    """
    if not rows:
        return 0
    if connection.dialect.name == "postgresql":
        return _in_one_statement(connection, hand, rows)
    details = {(values["subject_id"], values["starts_at"]): detail for values, detail in rows}
    new = insert_rows(
        connection,
        deadlines,
        [values for values, _ in rows],
        unique=_UNIQUE,
        returning=(deadlines.c.id, deadlines.c.kind, deadlines.c.subject_id, deadlines.c.starts_at),
    )
    told = [
        {
            "deadline_id": row.id,
            "kind": row.kind,
            "subject_id": row.subject_id,
            "detail": details[row.subject_id, row.starts_at],
        }
        for row in new
    ]
    ledger.record_each(connection, hand, rows[0][0]["stamped_at"], Event.STAMPED, told)
    return len(new)


def _in_one_statement(connection: Connection, hand: Hand, rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> int:
    names = tuple(rows[0][0])
    columns = arrays([deadlines.c[name] for name in names], [values for values, _ in rows])
    details = arrays([events.c.detail], [{"detail": detail} for _, detail in rows])
    told = {"told_by": hand.actor, "told_in": hand.run_id}
    done = connection.execute(_writing(names), {**columns, **details, **told}, execution_options={"preserve_rowcount": True})
    return done.rowcount


@lru_cache
def _writing(names: tuple[str, ...]) -> Insert:
    """Deadline and event as one statement: what was written need not come back, and each row travels once."""
    columns = [deadlines.c[name] for name in names]
    rows = select(given([*columns, events.c.detail])).cte("explained")
    new = (
        postgresql.insert(deadlines)
        .on_conflict_do_nothing(index_elements=list(_UNIQUE))
        .from_select(columns, select(*(rows.c[column.name] for column in columns)))
        .returning(deadlines.c.id, deadlines.c.kind, deadlines.c.subject_id, deadlines.c.starts_at, deadlines.c.stamped_at)
        .cte("new")
    )
    of_it = and_(rows.c.subject_id == new.c.subject_id, rows.c.starts_at == new.c.starts_at)
    told = select(
        *(new.c.id, new.c.kind, new.c.subject_id, literal(Event.STAMPED.value, events.c.event.type), new.c.stamped_at),
        bindparam("told_by", type_=events.c.actor.type),
        bindparam("told_in", type_=events.c.run_id.type),
        rows.c.detail,
    ).join(rows, of_it)
    return insert(events).from_select(ledger.COLUMNS, told)
