"""Purge: moves settled history past its retention out of the hot tables, and drops the records of idle runs.

Nothing that could still act is touched. A deadline is moved only when its row no longer runs from that start, because a
flagged refund that never ends would otherwise look new and be flagged again; and only when none of its notices waits to be
sent. One that runs again later is recognised by what was archived of it (``facts.read_archived``).

Each batch looks at so many of the longest settled, whether they can go or not, and the next goes on behind it. Rows travel
within the database, as documents that it makes itself. Deadlines that anybody else has in hand are passed over.
Imports the nouns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, and_, insert, literal, or_, select, true, update

from returnclock import claims, histogram
from returnclock.batches import in_rounds
from returnclock.bulk import delete_rows
from returnclock.clock import Clock
from returnclock.database import reading, retried, writing
from returnclock.kinds import DeadlineKind
from returnclock.rulebook import Rulebook
from returnclock.settings import RetentionSettings, seconds
from returnclock.tables.clock import OUTBOX_BY_DEADLINE, archive, deadlines, events, outbox, runs
from returnclock.tables.document import as_document
from returnclock.tables.expressions import beyond
from returnclock.tables.keys import among, by_index
from returnclock.tally import Tally

# After so long a run has never ended. A worker's has a limit of five minutes for each task; the command has none.
LONGEST_OF_WORKER, LONGEST_OF_COMMAND = timedelta(minutes=10), timedelta(hours=1)

_Which = Callable[[Connection, datetime, RetentionSettings, int], list[int]]


@dataclass
class _Move:
    """What moves the history of one kind; it has looked at all up to ``after``, as (settled_at, id)."""

    engine: Engine
    clock: Clock
    kind: DeadlineKind
    retained: timedelta
    tally: Tally
    after: tuple[datetime, int] | None = field(default=None)

    def batch(self, size: int) -> int:
        """Move those of the next ``size`` deadlines that can go, with their events and notices, in one transaction."""
        with writing(self.engine) as connection:
            now = self.clock.now(connection)
            rows = connection.execute(self._settled(now - self.retained).limit(size)).all()
            ids = _without_unsent(connection, self._at_rest(connection, rows))
            for table in (outbox, events, deadlines):
                _move(connection, table, ids, now)
        if rows:
            self.after = (rows[-1].settled_at, rows[-1].id)
        counted = self.tally.of(self.kind.name)
        counted.examined += len(rows)
        counted.changed += len(ids)
        counted.skipped += len(rows) - len(ids)
        return len(rows)

    def _settled(self, before: datetime) -> Select[Any]:
        chosen = (
            select(deadlines.c.id, deadlines.c.subject_id, deadlines.c.settled_at)
            .where(deadlines.c.kind == self.kind.name, deadlines.c.settled_at < before)
            .where(deadlines.c.state.in_(("met", "fired", "void")))
            .order_by(deadlines.c.settled_at, deadlines.c.id)
            .with_for_update(skip_locked=True)
        )
        return chosen if self.after is None else chosen.where(beyond((deadlines.c.settled_at, deadlines.c.id), self.after))

    def _at_rest(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[int]:
        """Those of the deadlines whose row no longer runs from their start."""
        # Not as a condition of the statement that finds them: it would read all subjects for each batch.
        running = claims.still_true(connection, self.kind, rows) if rows else set()
        return [row.id for row in rows if row.id not in running]


def purge(
    engine: Engine,
    clock: Clock,
    book: Rulebook,
    retention: RetentionSettings,
    *,
    limit: int | None = None,
    batch_size: int = 500,
    seconds_left: float | None = None,
) -> Tally:
    """Move and drop in batches of one short transaction each, a batch of each work in turn.

    Ends when nothing is left, when ``limit`` deadlines were looked at, or when ``seconds_left`` are over, which are for the
    upkeep (runs, histogram) and for the moving each.
    """
    tally = Tally()
    retained = timedelta(seconds=seconds(retention.settled))
    newest = retried(partial(_newest_folded, engine))
    moves = [_Move(engine, clock, kind, retained, tally).batch for kind in book.kinds]
    upkeep = [
        partial(_close_lost_runs, engine, clock),
        partial(_drop_runs, engine, clock, tally, retention, _idle_runs),
        partial(_drop_runs, engine, clock, tally, retention, _oldest_runs),
        partial(_fold_lateness, engine, clock, newest),
    ]
    in_rounds(upkeep, limit=None, size=batch_size, seconds=seconds_left)
    in_rounds(moves, limit=limit, size=batch_size, seconds=seconds_left)
    return tally


def _newest_folded(engine: Engine) -> int:
    with reading(engine) as connection:
        return histogram.newest(connection)


def _without_unsent(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of the deadlines of which no notice waits to be sent; the others' notices are locked, so that none can begin to."""
    if not ids:
        return []
    notices = select(outbox.c.deadline_id, outbox.c.state).where(among(outbox.c.deadline_id, ids))
    locking = by_index(notices, outbox, OUTBOX_BY_DEADLINE).order_by(outbox.c.id).with_for_update()
    waiting = {row.deadline_id for row in connection.execute(locking) if row.state in ("queued", "sending")}
    return [one for one in ids if one not in waiting]


def _move(connection: Connection, table: Table, deadline_ids: Sequence[int], now: datetime) -> None:
    """Move the rows of the deadlines from one table to the archive. Exactly those that are archived are deleted."""
    if not deadline_ids:
        return
    of = table.c.id if table is deadlines else table.c.deadline_id
    # By their own ids: an event that came between the two statements would be deleted unarchived.
    ids: Sequence[int] = connection.execute(select(table.c.id).where(among(of, deadline_ids))).scalars().all()
    if not ids:
        return
    whole = select(
        literal(table.name, archive.c.table_name.type),
        table.c.id,
        deadlines.c.kind,
        deadlines.c.subject_id,
        literal(now, archive.c.archived_at.type),
        as_document(table, connection.dialect.name),
    )
    if table is not deadlines:
        whole = whole.join_from(table, deadlines, deadlines.c.id == table.c.deadline_id)
    names = ["table_name", "row_id", "kind", "subject_id", "archived_at", "content"]
    connection.execute(insert(archive).from_select(names, whole.where(among(table.c.id, ids)).order_by(table.c.id)))
    delete_rows(connection, table, ids)


def _fold_lateness(engine: Engine, clock: Clock, newest: int, size: int) -> int:
    with writing(engine) as connection:
        return histogram.fold(connection, clock.now(connection), newest, size)


def _close_lost_runs(engine: Engine, clock: Clock, size: int) -> int:
    """Mark as failed the runs that never ended: their worker was killed, or lost the database before it could say so."""
    with writing(engine) as connection:
        now = clock.now(connection)
        of_command = and_(runs.c.trigger == "cli", runs.c.started_at < now - LONGEST_OF_COMMAND)
        of_worker = and_(runs.c.trigger != "cli", runs.c.started_at < now - LONGEST_OF_WORKER)
        never_ended = (runs.c.idle.is_(None), runs.c.state == "running", or_(of_command, of_worker))
        ids = connection.execute(select(runs.c.id).where(*never_ended).limit(size)).scalars().all()
        if ids:
            ended = {"state": "failed", "finished_at": now, "error": "it never ended: its worker was killed or cut off"}
            connection.execute(update(runs).where(runs.c.id.in_(ids), runs.c.state == "running").values(ended))
        return len(ids)


def _drop_runs(engine: Engine, clock: Clock, tally: Tally, retention: RetentionSettings, which: _Which, size: int) -> int:
    with writing(engine) as connection:
        ids = which(connection, clock.now(connection), retention, size)
        delete_rows(connection, runs, ids)
    counted = tally.of("runs")
    counted.examined += len(ids)
    counted.changed += len(ids)
    return len(ids)


def _idle_runs(connection: Connection, now: datetime, retention: RetentionSettings, size: int) -> list[int]:
    """Ticks that found nothing to do, longest ago first."""
    before = now - timedelta(seconds=seconds(retention.idle_runs))
    old = (runs.c.idle == true(), runs.c.started_at < before, runs.c.trigger == "beat")
    return list(connection.execute(select(runs.c.id).where(*old).order_by(runs.c.started_at).limit(size)).scalars())


def _oldest_runs(connection: Connection, now: datetime, retention: RetentionSettings, size: int) -> list[int]:
    """The first of all runs, as far as they are past their time; ids grow with time, so no other index is needed."""
    before = now - timedelta(seconds=seconds(retention.runs))
    first = connection.execute(select(runs.c.id, runs.c.started_at).order_by(runs.c.id).limit(size))
    return [row.id for row in first if row.started_at < before]
