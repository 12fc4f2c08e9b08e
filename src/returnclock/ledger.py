"""Writes the ledger: one event for everything that happens to a deadline, append-only. Imports tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Insert, Select, bindparam, insert, null, select

from returnclock.bulk import insert_rows
from returnclock.tables.clock import deadlines, events
from returnclock.tables.keys import Given, among

COLUMNS = ("deadline_id", "kind", "subject_id", "event", "at", "actor", "run_id", "detail")

_EVENT = bindparam("told_event", type_=events.c.event.type)


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
    named = event if isinstance(event, str) else ""
    recording = _of_named_event(detail is not None) if named else _of_ids(event, detail is not None)
    connection.execute(recording, {"of_ids": deadline_ids, **told(hand, now, named, detail)})


def told(hand: Hand, now: datetime, event: str, detail: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters of a statement that records."""
    given = {"told_at": now, "told_event": event, "told_by": hand.actor, "told_in": hand.run_id}
    return given if detail is None else given | {"told_detail": dict(detail)}


def recording(of: FromClause, *, with_detail: bool) -> Insert:
    """The statement that writes one event for each row of ``of``, which has the columns of deadlines; it is given `told`."""
    return insert(events).from_select(COLUMNS, _each(of, _EVENT, with_detail).order_by(of.c.id))


@lru_cache
def _of_named_event(with_detail: bool) -> Insert:
    return _of_ids(_EVENT, with_detail)


def _of_ids(event: Any, with_detail: bool) -> Insert:
    each = _each(deadlines, event, with_detail).where(among(deadlines.c.id, Given("of_ids")))
    return insert(events).from_select(COLUMNS, each.order_by(deadlines.c.id))


def _each(of: FromClause, event: Any, with_detail: bool) -> Select[Any]:
    return select(
        *(of.c.id, of.c.kind, of.c.subject_id, event),
        bindparam("told_at", type_=events.c.at.type),
        bindparam("told_by", type_=events.c.actor.type),
        bindparam("told_in", type_=events.c.run_id.type),
        bindparam("told_detail", type_=events.c.detail.type) if with_detail else null(),
    )


def record_each(connection: Connection, hand: Hand, now: datetime, event: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one event for each row (deadline_id, kind, subject_id, detail), where every detail is its own."""
    common = {"event": event, "at": now, "actor": hand.actor, "run_id": hand.run_id}
    insert_rows(connection, events, [{**common, **row} for row in rows])
