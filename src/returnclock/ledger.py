"""Writes the ledger: one event for everything that happens to a deadline, append-only. Imports tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, bindparam, insert, null, select

from returnclock.bulk import insert_rows
from returnclock.tables.clock import deadlines, events
from returnclock.tables.keys import Given, among

COLUMNS = ("deadline_id", "kind", "subject_id", "event", "at", "actor", "run_id", "detail")


@dataclass(frozen=True)
class Hand:
    """Whose hand acts: the actor that the ledger names, and the run in ``clock_runs``."""

    actor: str = "clock"
    run_id: int | None = None


def record(
    connection: Connection,
    hand: Hand,
    now: datetime,
    event: str | ColumnElement[str],
    deadline_ids: Sequence[int],
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one event for each of the deadlines, in one statement; ``event`` may be an expression over the deadline."""
    if not deadline_ids:
        return
    given: dict[str, Any] = {"of_ids": deadline_ids, "told_at": now, "told_by": hand.actor, "told_in": hand.run_id}
    if detail is not None:
        given["told_detail"] = dict(detail)
    if isinstance(event, str):
        connection.execute(_of_named_event(detail is not None), given | {"told_event": event})
    else:
        connection.execute(_recording(event, detail is not None), given)


@lru_cache
def _of_named_event(with_detail: bool) -> Insert:
    return _recording(bindparam("told_event", type_=events.c.event.type), with_detail)


def _recording(event: ColumnElement[str], with_detail: bool) -> Insert:
    told = select(
        *(deadlines.c.id, deadlines.c.kind, deadlines.c.subject_id, event),
        bindparam("told_at", type_=events.c.at.type),
        bindparam("told_by", type_=events.c.actor.type),
        bindparam("told_in", type_=events.c.run_id.type),
        bindparam("told_detail", type_=events.c.detail.type) if with_detail else null(),
    ).where(among(deadlines.c.id, Given("of_ids")))
    return insert(events).from_select(COLUMNS, told.order_by(deadlines.c.id))


def record_each(connection: Connection, hand: Hand, now: datetime, event: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one event for each row (deadline_id, kind, subject_id, detail), where every detail is its own."""
    common = {"event": event, "at": now, "actor": hand.actor, "run_id": hand.run_id}
    insert_rows(connection, events, [{**common, **row} for row in rows])
