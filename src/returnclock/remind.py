"""Remind: queues the reminders that are due, for all kinds, and skips those that an outage made stale.

Nobody is told "2 days left" late, and nobody gets three reminders at once: of several that are due only the latest counts,
and it only while it is fresh. Imports the noun rooms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, update

from returnclock import claims, ledger, outbox
from returnclock.batches import in_rounds
from returnclock.claims import Progress
from returnclock.clock import Clock
from returnclock.database import reading, writing
from returnclock.guards import may_act
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.tables.clock import deadlines
from returnclock.tally import KindTally, Tally
from returnclock.telemetry import Event

_READ = (deadlines.c.remind_at, deadlines.c.promised_at, deadlines.c.schedule)


def send_reminders(
    engine: Engine,
    clock: Clock,
    kinds: Sequence[DeadlineKind],
    hand: Hand,
    stale_after: timedelta,
    *,
    limit: int | None = None,
    batch_size: int = 1000,
    seconds: float | None = None,
) -> Tally:
    """Queue each due reminder in the transaction that moves ``remind_at`` on to the next; a batch of each kind in turn."""
    tally = Tally()
    batches = [partial(_batch_into, tally, Progress(), engine, clock, kind, hand, stale_after) for kind in kinds]
    in_rounds(batches, limit=limit, size=batch_size, seconds=seconds)
    return tally


def has_work(connection: Connection, now: datetime, kinds: Sequence[DeadlineKind]) -> bool:
    """Whether any reminder of the kinds is due."""
    return claims.is_any_due(connection, kinds, deadlines.c.remind_at, now, partial(may_act, connection, now=now))


def would_remind(
    engine: Engine, clock: Clock, kinds: Sequence[DeadlineKind], stale_after: timedelta, *, limit: int | None = None
) -> Tally:
    """Count the reminders that would be queued now, and change nothing."""
    tally = Tally()
    with reading(engine) as connection:
        now, left = clock.now(connection), limit
        for kind in kinds:
            due = claims.all_due(kind, deadlines.c.remind_at, now, *_READ).where(may_act(connection, kind, now))
            rows = connection.execute(due.limit(left)).all()
            left = left and left - len(rows)
            fresh = [row for row in rows if _is_fresh(row, now, stale_after)]
            counted = tally.of(kind.name)
            counted.examined, counted.changed = len(rows), len(rows)
            counted.queued = len(fresh) * len(kind.notices_for("reminder"))
            counted.skipped = len(rows) - len(fresh)
    return tally


def _batch_into(
    tally: Tally,
    progress: Progress,
    engine: Engine,
    clock: Clock,
    kind: DeadlineKind,
    hand: Hand,
    stale_after: timedelta,
    size: int,
) -> int:
    looked_at, done = _batch(engine, clock, kind, hand, stale_after, progress, size)
    progress.after = progress.claimed  # only now: a batch that is tried again must claim the same
    tally.of(kind.name).add(done)
    return looked_at


def _batch(
    engine: Engine, clock: Clock, kind: DeadlineKind, hand: Hand, stale_after: timedelta, progress: Progress, size: int
) -> tuple[int, KindTally]:
    done = KindTally()
    with writing(engine) as connection:
        now = clock.now(connection)
        allowed = may_act(connection, kind, now)
        looked_at, rows = claims.claim(connection, kind, deadlines.c.remind_at, now, size, progress, allowed, _READ)
        done.examined = len(rows)
        if not rows:
            return looked_at, done
        done.changed = _move_on(connection, rows, now)
        fresh = [row for row in rows if _is_fresh(row, now, stale_after)]
        done.queued = _queue(connection, kind, fresh, now)
        done.skipped = len(rows) - len(fresh)
        done.max_lateness_s = max(((now - _latest(row, now)).total_seconds() for row in fresh), default=0.0)
        if kind.notices_for("reminder"):
            ledger.record(connection, hand, now, Event.REMINDER_QUEUED, [row.id for row in fresh])
        stale = sorted({row.id for row in rows} - {row.id for row in fresh})
        ledger.record(connection, hand, now, Event.REMINDER_SKIPPED, stale, {"reason": "stale after an outage"})
    return looked_at, done


def _times(row: Row[Any]) -> Iterable[datetime]:
    return (datetime.fromisoformat(moment) for moment in row.schedule["reminders"])


def _latest(row: Row[Any], now: datetime) -> datetime:
    """The latest of the reminders that are due; the stored one where an intervention moved it."""
    return max((moment for moment in _times(row) if moment <= now), default=row.remind_at)


def _is_fresh(row: Row[Any], now: datetime, stale_after: timedelta) -> bool:
    return now - _latest(row, now) <= stale_after and now < row.promised_at


def _move_on(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> int:
    moving = (
        update(deadlines)
        .where(deadlines.c.id == bindparam("of"), deadlines.c.state == "running")
        .values(remind_at=bindparam("next"))
    )
    following = [{"of": row.id, "next": min((moment for moment in _times(row) if moment > now), default=None)} for row in rows]
    connection.execute(moving, following)
    return len(following)


def _queue(connection: Connection, kind: DeadlineKind, fresh: Sequence[Row[Any]], now: datetime) -> int:
    by_ordinal: defaultdict[int, list[int]] = defaultdict(list)
    for row in fresh:
        by_ordinal[sum(1 for moment in _times(row) if moment <= now)].append(row.id)
    notices = kind.notices_for("reminder")
    return sum(
        outbox.queue(connection, kind, notices, ids, now, ordinal=ordinal) for ordinal, ids in sorted(by_ordinal.items())
    )
