"""Sweep: enforces the deadlines that are due, of any kind, in sets. Knows no mail server.

A batch is one transaction: claim, change the subjects, settle the deadlines, write the ledger, queue the notices. Every
statement restates the conditions, and the counts must agree or the whole batch rolls back. Imports the noun rooms.

Order of locks, for every room that writes: deadlines before subjects, each by id; claims skip what is locked, so no sweep
waits for a front end, and none can deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, literal, select, update

from returnclock import ledger, outbox
from returnclock.batches import until_short
from returnclock.clock import Clock
from returnclock.database import reading, retried, writing
from returnclock.errors import CountsDisagree
from returnclock.kinds import DeadlineKind, Value
from returnclock.ledger import Hand
from returnclock.neighbours import held_elsewhere
from returnclock.tables.clock import deadlines, is_running
from returnclock.tables.types import among, as_text, keys_of
from returnclock.tally import KindTally, Tally

# A row that is inserted elsewhere without a foreign key may turn up between the second look and the change. The batch is rolled
# back, as for every count that disagrees, and taken again as things then are.
_ATTEMPTS = 3
DigestHour = Callable[[datetime], datetime]


def sweep(
    engine: Engine,
    clock: Clock,
    kinds: Sequence[DeadlineKind],
    hand: Hand,
    *,
    limit: int | None = None,
    batch_size: int = 1000,
    digest_at: DigestHour | None = None,
) -> Tally:
    """Fire every deadline of the kinds that is due and still true, oldest first, until a batch comes back short."""
    tally = Tally()
    for kind in kinds:
        left = limit - tally.total("examined") if limit is not None else None
        until_short(partial(_batch_into, tally, engine, clock, kind, hand, digest_at), limit=left, size=batch_size)
    tally.backlog = retried(partial(_backlog, engine, clock, kinds))
    return tally


def has_work(engine: Engine, clock: Clock, kinds: Sequence[DeadlineKind]) -> bool:
    """Whether any deadline of the kinds is due and still true."""
    with reading(engine) as connection:
        now = clock.now(connection)
        return any(connection.execute(_due(kind, now).limit(1)).first() for kind in kinds)


def would_sweep(engine: Engine, clock: Clock, kinds: Sequence[DeadlineKind], *, limit: int | None = None) -> Tally:
    """Count what a sweep would fire now, and change nothing."""
    tally = Tally()
    with reading(engine) as connection:
        now = clock.now(connection)
        for kind in kinds:
            rows = connection.execute(_due(kind, now).limit(limit)).all()
            counted = tally.of(kind.name)
            counted.examined = counted.changed = len(rows)
            counted.queued = len(rows) * len(kind.notices_for("outcome"))
            counted.max_lateness_s = _lateness(rows, now)
            tally.backlog += count_due(connection, kind, now) - len(rows)
    return tally


def _backlog(engine: Engine, clock: Clock, kinds: Sequence[DeadlineKind]) -> int:
    with reading(engine) as connection:
        return sum(count_due(connection, kind, clock.now(connection)) for kind in kinds)


def count_due(connection: Connection, kind: DeadlineKind, now: datetime) -> int:
    """How many deadlines of the kind are due and still true."""
    return int(connection.execute(select(func.count()).select_from(_due(kind, now).subquery())).scalar_one())


def _due(kind: DeadlineKind, now: datetime) -> Select[Any]:
    return (
        select(deadlines.c.id, deadlines.c.subject_id, deadlines.c.due_at)
        .join(kind.subject, kind.still_true())
        .where(deadlines.c.kind == kind.name, is_running, deadlines.c.due_at <= now)
        .order_by(deadlines.c.due_at, deadlines.c.id)
    )


def _batch_into(
    tally: Tally,
    engine: Engine,
    clock: Clock,
    kind: DeadlineKind,
    hand: Hand,
    digest_at: DigestHour | None,
    size: int,
) -> int:
    for attempts_left in reversed(range(_ATTEMPTS if kind.looks_beyond else 1)):
        try:
            done = _batch(engine, clock, kind, hand, digest_at, size)
            break
        except CountsDisagree:
            if not attempts_left:
                raise
    tally.of(kind.name).add(done)
    return done.examined


def _batch(engine: Engine, clock: Clock, kind: DeadlineKind, hand: Hand, digest_at: DigestHour | None, size: int) -> KindTally:
    with writing(engine) as connection:
        now = clock.now(connection)
        claimed = _claim(connection, kind, now, size)
        ready = _still_due(connection, kind, now, claimed)
        if not ready:
            return KindTally(examined=len(claimed), skipped=len(claimed))
        ids = [row.id for row in ready]
        _change(connection, kind, now, ready)
        settled = connection.execute(
            update(deadlines)
            .where(among(deadlines.c.id, ids), deadlines.c.state == "running", deadlines.c.due_at <= now)
            .values(state="fired", fired_at=now, settled_at=now, remind_at=None)
        )
        _agree(kind, len(ready), settled.rowcount, deadlines.name)
        ledger.record(connection, hand, now, kind.event, ids)
        notices = kind.notices_for("outcome")
        queued = outbox.queue(connection, kind, notices, ids, now, not_before=digest_at(now) if digest_at else None)
        _agree(kind, len(ready) * len(notices), queued, "clock_outbox")
        return KindTally(
            examined=len(claimed),
            changed=len(ready),
            queued=queued,
            skipped=len(claimed) - len(ready),
            max_lateness_s=_lateness(ready, now),
        )


def _claim(connection: Connection, kind: DeadlineKind, now: datetime, size: int) -> Sequence[Row[Any]]:
    """Lock due deadlines and their subjects; what a front end or another worker holds is left for the next tick."""
    of = None if connection.dialect.name in ("mysql", "mariadb") else [deadlines, kind.subject]
    return connection.execute(_due(kind, now).limit(size).with_for_update(skip_locked=True, of=of)).all()


def _still_due(connection: Connection, kind: DeadlineKind, now: datetime, claimed: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Ask all conditions again, now that the rows are locked, where they look at other rows than those that are locked.

    A dispute of the order that was committed between the claim's snapshot and its lock is seen only by this second
    statement, and one that comes later waits for the lock through its foreign key. What the locked rows themselves say needs
    no second look: the lock is given on their latest version, for which the conditions were asked again. In SQLite nobody
    else writes meanwhile.
    """
    if not claimed or not kind.looks_beyond or connection.dialect.name == "sqlite":
        return claimed
    held = held_elsewhere(connection, kind, [row.subject_id for row in claimed])
    free = [row.id for row in claimed if row.subject_id not in held]
    return connection.execute(_due(kind, now).where(among(deadlines.c.id, free))).all() if free else ()


def _change(connection: Connection, kind: DeadlineKind, now: datetime, ready: Sequence[Row[Any]]) -> None:
    if not kind.effect:
        return
    due_at = (
        select(deadlines.c.due_at)
        .where(
            deadlines.c.kind == kind.name,
            deadlines.c.subject_id == as_text(kind.subject_key),
            deadlines.c.starts_at == kind.starts_at,
        )
        .scalar_subquery()
    )
    written = {Value.NOW: literal(now, deadlines.c.due_at.type), Value.DUE_AT: due_at}
    values: dict[str, Any] = {}
    for name, value in kind.effect.items():
        values[name] = kind.forms.get(name, _as_it_is)(written[value]) if isinstance(value, Value) else value
    keys = keys_of([row.subject_id for row in ready], kind.subject_key)
    changed = connection.execute(update(kind.subject).where(among(kind.subject_key, keys), kind.runs_while).values(values))
    _agree(kind, len(ready), changed.rowcount, kind.subject.name)


def _as_it_is(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    return moment


def _agree(kind: DeadlineKind, expected: int, found: int, table: str) -> None:
    if expected != found:
        raise CountsDisagree(kind=kind.name, claimed=expected, changed=found, table=table)


def _lateness(rows: Sequence[Row[Any]], now: datetime) -> float:
    return max(((now - row.due_at).total_seconds() for row in rows), default=0.0)
