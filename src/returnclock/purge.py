"""Purge: moves settled history past its retention out of the hot tables, and drops the records of idle runs.

Nothing that could still act is touched: a deadline is moved only when its row no longer runs from that start, because a
flagged refund that never ends would otherwise look new and be flagged again. One that runs again later is recognised by
what was archived of it (``facts.read_archived``). Imports the nouns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, delete, exists, insert, or_, select, update

from returnclock.batches import until_short
from returnclock.clock import Clock
from returnclock.database import writing
from returnclock.kinds import DeadlineKind
from returnclock.rulebook import Rulebook
from returnclock.settings import RetentionSettings, seconds
from returnclock.tables.clock import archive, deadlines, events, outbox, runs
from returnclock.tables.types import written
from returnclock.tally import Tally

LONGEST_RUN = timedelta(hours=1)  # far beyond the workers' own limit for a task; the command has none


def purge(
    engine: Engine,
    clock: Clock,
    book: Rulebook,
    retention: RetentionSettings,
    *,
    limit: int | None = None,
    batch_size: int = 500,
) -> Tally:
    """Move and drop in batches of one short transaction each, so that nobody waits for it; ``limit`` is for each kind."""
    tally = Tally()
    for kind in book.kinds:
        moved = until_short(partial(_move_batch, engine, clock, kind, retention), limit=limit, size=batch_size)
        tally.of(kind.name).examined = tally.of(kind.name).changed = moved
    until_short(partial(_close_lost_runs, engine, clock), limit=limit, size=batch_size)
    dropped = until_short(partial(_drop_runs, engine, clock, retention), limit=limit, size=batch_size)
    tally.of("runs").examined = tally.of("runs").changed = dropped
    return tally


def _move_batch(engine: Engine, clock: Clock, kind: DeadlineKind, retention: RetentionSettings, batch_size: int) -> int:
    with writing(engine) as connection:
        now = clock.now(connection)
        before = now - timedelta(seconds=seconds(retention.settled))
        true = exists().where(kind.still_true()).correlate(deadlines)
        chosen = (
            select(deadlines)
            .where(deadlines.c.kind == kind.name, deadlines.c.state.in_(("met", "fired", "void")))
            .where(deadlines.c.settled_at < before, ~true)
            .order_by(deadlines.c.id)
            .limit(batch_size)
            .with_for_update(skip_locked=True)
        )
        rows = connection.execute(chosen).all()
        ids = [row.id for row in rows]
        if ids:
            subjects = {row.id: row.subject_id for row in rows}
            _move(connection, outbox, outbox.c.deadline_id.in_(ids), subjects, now)
            _move(connection, events, events.c.deadline_id.in_(ids), subjects, now)
            _move(connection, deadlines, deadlines.c.id.in_(ids), subjects, now)
        return len(ids)


def _move(connection: Connection, table: Table, which: ColumnElement[bool], subjects: dict[int, str], now: datetime) -> None:
    rows = connection.execute(select(table).where(which).order_by(table.c.id)).all()
    if rows:
        kept = [
            {
                "table_name": table.name,
                "row_id": row.id,
                "kind": row.kind,
                "subject_id": subjects[row.id if table is deadlines else row.deadline_id],
                "archived_at": now,
                "content": {name: _plain(value) for name, value in row._mapping.items()},
            }
            for row in rows
        ]
        connection.execute(insert(archive), kept)
        connection.execute(delete(table).where(table.c.id.in_([row.id for row in rows])))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return written(value)
    return str(value) if isinstance(value, date | Decimal) else value


def _close_lost_runs(engine: Engine, clock: Clock, batch_size: int) -> int:
    """Mark as failed the runs that never ended: their worker was killed, or lost the database before it could say so."""
    with writing(engine) as connection:
        now = clock.now(connection)
        lost = select(runs.c.id).where(runs.c.state == "running", runs.c.started_at < now - LONGEST_RUN).limit(batch_size)
        ids = connection.execute(lost).scalars().all()
        if ids:
            ended = {"state": "failed", "finished_at": now, "error": "it never ended: its worker was killed or cut off"}
            connection.execute(update(runs).where(runs.c.id.in_(ids), runs.c.state == "running").values(ended))
        return len(ids)


def _drop_runs(engine: Engine, clock: Clock, retention: RetentionSettings, batch_size: int) -> int:
    with writing(engine) as connection:
        now = clock.now(connection)
        idle, any_run = (now - timedelta(seconds=seconds(text)) for text in (retention.idle_runs, retention.runs))
        old = or_(
            runs.c.started_at < any_run,
            and_(runs.c.started_at < idle, runs.c.trigger == "beat", runs.c.idle.is_(True)),
        )
        chosen: Sequence[int] = connection.execute(select(runs.c.id).where(old).limit(batch_size)).scalars().all()
        if chosen:
            connection.execute(delete(runs).where(runs.c.id.in_(chosen)))
        return len(chosen)
