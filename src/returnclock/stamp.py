"""Stamp: gives rows that run a due date, and settles the deadlines of rows that stopped running.

It works from ``clock_changes``, in batches of one transaction each: what changed is read as it stands now, so a change that
is noted twice, late or out of order does no harm. A row of which somebody has a deadline in hand is put off, and noted anew.
Imports the noun rooms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, exists, func, insert, select

from returnclock import problems
from returnclock.batches import counted, in_halves, until_short
from returnclock.bulk import delete_rows, insert_rows
from returnclock.clock import Clock
from returnclock.database import reading, retried, writing
from returnclock.faults import Fault
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.rulebook import Rulebook
from returnclock.sqlstates import is_of_no_row, reason_of
from returnclock.stamp_batch import Batch
from returnclock.tables.clock import LIVE_STATES, changes, deadlines
from returnclock.tables.keys import among, as_text, keys_of
from returnclock.tables.market import disputes
from returnclock.tally import Tally

MOST_REMEMBERED = 20_000  # rows; an import of millions must not grow a worker, and what is forgotten is only read again


@dataclass
class _Run:
    """What one run works with.

    inspected: the keys of rows of each table that were looked at for faults. in_hand: the changes that the last batch took.
    before: the first change that this run has put off, at which it ends; None while there is none.
    """

    engine: Engine
    clock: Clock
    book: Rulebook
    hand: Hand
    tally: Tally = field(default_factory=Tally)
    inspected: defaultdict[str, set[Any]] = field(default_factory=partial(defaultdict, set))
    in_hand: Sequence[Any] = ()
    before: int | None = None


def stamp(
    engine: Engine,
    clock: Clock,
    book: Rulebook,
    hand: Hand,
    *,
    limit: int | None = None,
    batch_size: int = 1000,
    seconds: float | None = None,
) -> Tally:
    """Work off the noted changes, oldest first, until none is left, ``limit`` were taken or ``seconds`` are over.

    A batch that a row breaks is taken again in halves, until that row is alone and is set aside in ``clock_problems``. The
    backlog is counted up to `batches.COUNTED`.
    """
    run = _Run(engine, clock, book, hand)
    until_short(partial(_batch_or_halves, run), limit=limit, size=batch_size, seconds=seconds)
    run.tally.backlog = retried(partial(_backlog, engine))
    return run.tally


def has_work(connection: Connection) -> bool:
    """Whether any noted change waits to be stamped."""
    return connection.execute(select(changes.c.id).limit(1)).first() is not None


def would_stamp(engine: Engine) -> Tally:
    """Count the changes that wait to be stamped, and change nothing."""
    tally = Tally()
    with reading(engine) as connection:
        chosen = select(changes.c.table_name, func.count().label("waiting")).group_by(changes.c.table_name)
        for row in connection.execute(chosen):
            tally.of(row.table_name).examined = row.waiting
    return tally


def _backlog(engine: Engine) -> int:
    with reading(engine) as connection:
        return counted(connection, select(changes.c.id))


def _batch_or_halves(run: _Run, size: int) -> int:
    try:
        return _batch(run, size)
    except Exception as fault:  # whatever a row can cause: the rows beside it are stamped
        if is_of_no_row(fault):
            raise
        if size == 1:
            if not run.in_hand:
                raise
            return _set_aside(run, fault)
    return in_halves(partial(_batch_or_halves, run), size)


def _take(connection: Connection, size: int, before: int | None = None) -> Sequence[Any]:
    columns = (changes.c.id, changes.c.table_name, changes.c.subject_id)
    chosen = select(*columns).order_by(changes.c.id).limit(size)
    chosen = chosen if before is None else chosen.where(changes.c.id < before)
    return connection.execute(chosen.with_for_update(skip_locked=True)).all()


def _batch(run: _Run, size: int) -> int:
    run.in_hand = ()
    with writing(run.engine) as connection:
        run.in_hand = taken = _take(connection, size, run.before)
        touched: defaultdict[str, set[str]] = defaultdict(set)
        for change in taken:
            touched[change.table_name].add(change.subject_id)
        _touch_orders(connection, run.book, touched)
        batch = Batch(connection, run.book, run.hand, run.clock.now(connection), run.inspected)
        for table_name, subject_ids in sorted(touched.items()):
            batch.of_table(table_name, subject_ids)
        batch.record_problems()
        first_put_off = _put_off(connection, taken, batch.put_off)
        if taken:
            delete_rows(connection, changes, [change.id for change in taken])
    # Only now: what a batch that was rolled back had seen must be seen again.
    run.before = run.before or first_put_off
    for name, keys in batch.seen.items():
        run.inspected[name] |= keys
    if sum(map(len, run.inspected.values())) > MOST_REMEMBERED:
        run.inspected.clear()
    run.tally.add(batch.tally)
    retried(partial(_look_again, run.engine, batch.stamped))
    return len(taken)


def _put_off(connection: Connection, taken: Sequence[Any], rows: Collection[tuple[str, str]]) -> int | None:
    """Note rows once more, behind all others, so that these come first; with the moment at which they were noted before.

    Refused: to leave the changes where they are. A thousand of them would be all that a ``limit`` of a thousand ever takes.

    Returns:
        the id of the first new change, None where nothing is put off.
    """
    if not rows:
        return None
    chosen = select(changes).where(among(changes.c.id, [change.id for change in taken])).order_by(changes.c.id.desc())
    first_last = connection.execute(chosen).all()  # of two of one row the first is kept
    noted = {(change.table_name, change.subject_id): change.noted_at for change in first_last}
    oldest = first_last[-1].noted_at  # for an order, of which only its dispute was noted
    again = [
        {"table_name": table_name, "subject_id": subject_id, "noted_at": noted.get((table_name, subject_id), oldest)}
        for table_name, subject_id in sorted(rows)
    ]
    return min(int(row.id) for row in insert_rows(connection, changes, again, returning=(changes.c.id,)))


def _look_again(engine: Engine, stamped: Mapping[DeadlineKind, Sequence[str]]) -> None:
    """Note rows once more that changed while their new deadlines were written.

    Another worker may have had that change in hand, and could not see the deadline that it should have settled. Refused: to
    lock the rows, for which a front end would wait. In SQLite nobody else writes meanwhile.
    """
    if engine.dialect.name == "sqlite":
        return
    for kind, subject_ids in stamped.items():
        true = exists().where(kind.still_true()).correlate(deadlines)
        chosen = select(deadlines.c.subject_id).where(deadlines.c.kind == kind.name, among(deadlines.c.subject_id, subject_ids))
        with reading(engine) as connection:
            outdated = connection.execute(chosen.where(deadlines.c.state.in_(LIVE_STATES), ~true)).scalars().all()
        if outdated:
            with writing(engine) as connection:
                connection.execute(insert(changes), [{"table_name": kind.subject.name, "subject_id": one} for one in outdated])


def _touch_orders(connection: Connection, book: Rulebook, touched: defaultdict[str, set[str]]) -> None:
    """Look at the orders of changed disputes too, where a kind on orders heeds them; our triggers note the dispute alone."""
    if not book.market.mapped and touched["disputes"] and any(kind.looks_beyond for kind in book.on_table("orders")):
        keys = keys_of(touched["disputes"], disputes.c.id)
        chosen = select(as_text(disputes.c.order_id)).where(among(disputes.c.id, keys), disputes.c.order_id.is_not(None))
        touched["orders"].update(connection.execute(chosen.distinct()).scalars())


def _set_aside(run: _Run, fault: Exception) -> int:
    """Put the change that was in hand away with a problem that says why; it is looked at again by reconcile."""
    (change,) = run.in_hand
    of = f"{change.table_name} {change.subject_id}"
    said = f"{of} cannot be read: {reason_of(fault)[:300]}. Mend the row; it is looked at again by itself."
    row = Fault(change.table_name, change.subject_id, "unreadable_row", said)
    with writing(run.engine) as connection:
        # Another worker may have taken it meanwhile: then it is for that one to say.
        ours = select(changes.c.id).where(changes.c.id == change.id).with_for_update(skip_locked=True)
        if connection.execute(ours).first() is not None:
            run.tally.problems += problems.record(connection, (), [row], run.clock.now(connection))
            delete_rows(connection, changes, [change.id])
    return 1
