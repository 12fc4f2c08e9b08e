"""Sweep: enforces the deadlines that are due, of any kind, in sets. Knows no mail server.

A batch is one transaction: claim, change the subjects, settle the deadlines, write the ledger, queue the notices. Every
statement restates the conditions, and the counts must agree or the whole batch rolls back. Imports the noun rooms.

Order of locks, for every room that writes:

1. ``clock_bursts``: one row, of a kind under a cap or of all vacations (`turnstile`).
2. ``clock_holds``, then ``clock_vacations``, by id.
3. ``clock_deadlines``: claims as they fall due, all others by id. Sweep, stamp, purge and an operator's pages skip what is
   locked; hold, resume and restamp wait for it.
4. The subjects and the rows beside them (`neighbours`). Nobody waits for these.
5. ``clock_policies``, by digest; they are inserted and never changed. Then new deadlines, by subject.
6. ``clock_outbox``, by id; hold and resume need none of it.
7. ``clock_problems``, by id, then new ones by their key.

Events, changes, runs and the histogram are only inserted, or skipped where they are locked. A vacation goes back to deadlines
after the problems of its own row, and waits for nobody from there on. So no sweep waits for a front end, and none can deadlock.

One intervention can: of a scope that is undone the notices of each page are locked after those of the page before, whatever
their ids. Where a worker with letters in hand comes from the other side, one of the two is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, or_, select
from sqlalchemy.exc import DBAPIError

from returnclock import claims, histogram, unfireable
from returnclock.batches import in_halves, in_rounds
from returnclock.claims import Progress
from returnclock.clock import Clock
from returnclock.database import reading, retried, writing
from returnclock.errors import CountsDisagree
from returnclock.firing import DigestHour, before_firing, fire
from returnclock.guards import may_act, room, spare, spend, unwarned, would_spare
from returnclock.kinds import DeadlineKind
from returnclock.lateness import Lateness
from returnclock.ledger import Hand
from returnclock.neighbours import held_elsewhere
from returnclock.rulebook import NO_GUARDS, Guards
from returnclock.sqlstates import is_of_a_row
from returnclock.tables.clock import deadlines
from returnclock.tally import KindTally, Tally

# A row that is inserted elsewhere without a foreign key may turn up between the second look and the change. The batch is rolled
# back, as for every count that disagrees, and taken again as things then are.
_ATTEMPTS = 3


@dataclass(frozen=True)
class _Means:
    """What one run works with. ``is_heeded``: whether another kind depends on what a kind's firing changes."""

    engine: Engine
    clock: Clock
    hand: Hand
    digest_at: DigestHour | None
    guards: Guards
    is_heeded: Callable[[DeadlineKind], bool]


def sweep(
    engine: Engine,
    clock: Clock,
    kinds: Sequence[DeadlineKind],
    hand: Hand,
    *,
    limit: int | None = None,
    batch_size: int = 1000,
    digest_at: DigestHour | None = None,
    seconds: float | None = None,
    guards: Guards = NO_GUARDS,
    is_heeded: Callable[[DeadlineKind], bool] = lambda _: True,
) -> Tally:
    """Fire every deadline of the kinds that is due and still true, oldest first, a batch of each kind in turn.

    Ends when batches come back short, after ``limit`` deadlines, or when ``seconds`` are over. Workers that sweep at once
    share what is due, since each passes over what another holds. A deadline that breaks its batch is set aside, and those
    beside it take effect. The backlog is counted up to `batches.COUNTED` of each kind.
    """
    tally = Tally()
    means = _Means(engine, clock, hand, digest_at, guards, is_heeded)
    batches = [partial(_batch_into, tally, Progress(), means, kind) for kind in kinds]
    in_rounds(batches, limit=limit, size=batch_size, seconds=seconds)
    retried(partial(close_mended, engine, clock))
    tally.backlog = retried(partial(_backlog, engine, clock, kinds))
    return tally


def has_work(connection: Connection, now: datetime, kinds: Sequence[DeadlineKind]) -> bool:
    """Whether any deadline of the kinds is due and still true."""
    return claims.is_any_due(connection, kinds, deadlines.c.due_at, now, partial(may_act, connection, now=now))


def would_sweep(
    engine: Engine,
    clock: Clock,
    kinds: Sequence[DeadlineKind],
    *,
    limit: int | None = None,
    guards: Guards = NO_GUARDS,
    asked_at: datetime | None = None,
) -> Tally:
    """Count what a sweep would fire by the clock, and change nothing.

    asked_at: the present, where the clock stands ahead of it. A reminder that is due between the two will be out in time.
    """
    tally = Tally()
    with reading(engine) as connection:
        now, left = clock.now(connection), limit
        for kind in kinds:
            allowed = may_act(connection, kind, now)
            asked = (unwarned().label("unwarned"), deadlines.c.remind_at)
            due = claims.all_due(kind, deadlines.c.due_at, now, *asked).where(allowed).limit(left)
            some = due.subquery()
            number, oldest = connection.execute(select(func.count(), func.min(some.c.due_at))).one()
            left = left and left - number
            is_past = or_(some.c.remind_at.is_(None), some.c.remind_at <= (asked_at or now))
            unready = connection.execute(select(some.c.id).where(some.c.unwarned, is_past)).scalars().all()
            spared = len(would_spare(connection, now, unready, guards))
            counted = tally.of(kind.name)
            counted.examined, counted.skipped, counted.changed = number, spared, number - spared
            counted.queued = counted.changed * len(kind.notices_for("outcome"))
            counted.max_lateness_s = (now - oldest).total_seconds() if oldest else 0.0
            tally.backlog += max(0, claims.count_due(connection, kind, deadlines.c.due_at, now).number - number)
    return tally


def _backlog(engine: Engine, clock: Clock, kinds: Sequence[DeadlineKind]) -> int:
    with reading(engine) as connection:
        now = clock.now(connection)
        return sum(claims.count_due(connection, kind, deadlines.c.due_at, now).number for kind in kinds)


def _batch_into(tally: Tally, progress: Progress, means: _Means, kind: DeadlineKind, size: int) -> int:
    """Take a batch; one that a row breaks is taken again in halves, until that row is alone and is set aside."""
    try:
        looked_at, done = _batch_or_again(means, kind, progress, size)
    except (DBAPIError, CountsDisagree) as fault:
        nothing_claimed = progress.claimed == progress.after
        if nothing_claimed or (isinstance(fault, DBAPIError) and not is_of_a_row(fault)):
            raise
        if size > 1:
            return in_halves(partial(_batch_into, tally, progress, means, kind), size)
        looked_at, done = 1, KindTally(examined=1, skipped=1)
        tally.problems += retried(partial(_set_aside, means, kind, progress, fault))
    progress.after = progress.claimed  # only now: a batch that is tried again must claim the same
    tally.of(kind.name).add(done)
    return looked_at


def _set_aside(means: _Means, kind: DeadlineKind, progress: Progress, fault: Exception) -> int:
    """Say of the deadline that was claimed last why it cannot take effect."""
    assert progress.claimed is not None
    with writing(means.engine) as connection:
        of_it = select(deadlines.c.subject_id).where(deadlines.c.id == progress.claimed[1])
        subject_id = connection.execute(of_it).scalar_one()
        return unfireable.record(connection, kind, subject_id, fault, means.clock.now(connection))


def close_mended(engine: Engine, clock: Clock) -> None:
    """Close the problems of deadlines that were set aside and do not wait to take effect any more."""
    with reading(engine) as connection:
        is_any = unfireable.is_any(connection)
    if is_any:
        with writing(engine) as connection:
            unfireable.close_mended(connection, clock.now(connection))


def _batch_or_again(means: _Means, kind: DeadlineKind, progress: Progress, size: int) -> tuple[int, KindTally]:
    for attempts_left in reversed(range(_ATTEMPTS if kind.looks_beyond else 1)):
        try:
            return _batch(means, kind, progress, size)
        except CountsDisagree:
            if not attempts_left:
                raise
    raise AssertionError("unreachable")


def _batch(means: _Means, kind: DeadlineKind, progress: Progress, size: int) -> tuple[int, KindTally]:
    guards, hand = means.guards, means.hand
    with writing(means.engine) as connection:
        now = means.clock.now(connection)
        most = room(connection, kind, now, guards, size)
        if not most:
            return 0, KindTally()
        allowed = may_act(connection, kind, now)
        looked_at, claimed = claims.claim(
            connection, kind, deadlines.c.due_at, now, size, progress, allowed, before_firing(kind)
        )
        ready = _still_due(connection, kind, now, claimed)
        unready = [row for row in ready if row.unwarned]
        spared = spare(connection, kind, hand, now, unready, guards) if unready else set()
        ready = [row for row in ready if row.id not in spared] if spared else ready
        if len(ready) > most:
            # Only here: a batch that looked at no more than may fire would stop for ever at some that are not true any more.
            ready, looked_at = ready[:most], most
        if not ready:
            return looked_at, KindTally(examined=len(claimed), skipped=len(claimed))
        queued = fire(connection, kind, hand, now, ready, digest_at=means.digest_at, noted=means.is_heeded(kind))
        spend(connection, kind, guards, len(ready))
        late = _lateness(ready, now)
        histogram.record(connection, kind.name, now, late)
        return looked_at, KindTally(
            examined=len(claimed),
            changed=len(ready),
            queued=queued,
            skipped=len(claimed) - len(ready),
            max_lateness_s=late.max_s,
            lateness=late,
        )


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
    free = [row for row in claimed if row.subject_id not in held]
    return claims.still_due(connection, kind, deadlines.c.due_at, now, free, before_firing(kind)) if free else ()


def _lateness(rows: Sequence[Row[Any]], now: datetime) -> Lateness:
    return Lateness.of((now - row.due_at).total_seconds() for row in rows)
