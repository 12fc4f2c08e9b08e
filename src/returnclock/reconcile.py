"""Reconcile: finds what no trigger told us, and has it stamped. Imports stamp and the noun rooms.

It only notes rows into ``clock_changes``; stamp decides about them as about any other change, so there is one way in which
a row gets or loses its deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, exists, func, insert, literal, or_, select, update

from returnclock import problems
from returnclock.clock import Clock
from returnclock.database import asked_time, reading, retried, writing
from returnclock.faults import Fault
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.ops.hold import release_uncovered
from returnclock.ops.targets import Desk
from returnclock.rulebook import Rulebook
from returnclock.stamp import stamp
from returnclock.starts import EARLIEST
from returnclock.sweep import close_mended
from returnclock.tables import clock as own
from returnclock.tables.clock import LIVE_STATES, changes, deadlines, policies
from returnclock.tables.keys import as_text
from returnclock.tables.types import LONGEST_KEY, Instant
from returnclock.tally import Tally

_PAGE = 5000
LONG_KEY = "long_key"


def reconcile(
    engine: Engine,
    clock: Clock,
    book: Rulebook,
    hand: Hand,
    *,
    limit: int | None = None,
    batch_size: int = 1000,
    seconds: float | None = None,
) -> Tally:
    """Note every row whose deadline is missing or outlived it, and every row with an open problem; then stamp.

    What is held under no hold runs again: no tick would ever come back for it.
    """
    now = retried(partial(asked_time, engine, clock))
    retried(partial(_name_tables, engine, book))
    too_long: list[Fault] = []
    for kind in book.active():
        for query in _queries(kind, book):
            too_long += _note(engine, query, kind.subject.name)
        _note_overdue(engine, kind, now - book.guards.start_expected_within)
    retried(partial(close_mended, engine, clock))
    retried(partial(_note_open_problems, engine))
    released = release_uncovered(Desk(engine, clock, book, hand, "what no hold covers runs"))
    tally = stamp(engine, clock, book, hand, limit=limit, batch_size=batch_size, seconds=seconds)
    tally.problems += retried(partial(_tell_long_keys, engine, clock, too_long))
    for name, number in released.items():
        tally.of(name).changed += number
    return tally


def _name_tables(engine: Engine, book: Rulebook) -> None:
    """Say beside the policies which table a kind binds, where another version or a former mapping has not."""
    with writing(engine) as connection:
        for kind in book.kinds:
            wrong = (policies.c.kind == kind.name, policies.c.table_name.is_distinct_from(kind.subject.name))
            connection.execute(update(policies).where(*wrong).values(table_name=kind.subject.name))


def would_reconcile(engine: Engine, book: Rulebook) -> Tally:
    """Count the rows that reconcile would have looked at, and change nothing."""
    tally = Tally()
    for kind in book.active():
        for query in _queries(kind, book):
            for page in pages(engine, query):
                tally.of(kind.name).examined += len(page)
    return tally


def _queries(kind: DeadlineKind, book: Rulebook) -> list[Callable[[Any], Select[Any]]]:
    undeserved = [] if kind.withdrawn_when is None else [partial(_undeserved, kind, kind.withdrawn_when)]
    return [partial(unstamped, kind, book), partial(_outlived, kind), *undeserved]


def unstamped(kind: DeadlineKind, book: Rulebook, after: Any) -> Select[Any]:
    """A page of the rows that run and have no deadline of the kind, from after a key on; `pages` goes through them all."""
    accounted: list[ColumnElement[bool]] = [deadlines.c.state.in_(LIVE_STATES)]
    if not kind.stops_when_fired:
        accounted.append(deadlines.c.state == "fired")
    known = exists().where(
        deadlines.c.kind == kind.name,
        deadlines.c.subject_id == as_text(kind.subject_key),
        deadlines.c.starts_at == kind.starts_at,
        or_(*accounted),
    )
    key = kind.subject_key
    chosen = select(key.label("after"), as_text(key).label("subject_id")).where(kind.runs_while, ~known)
    since = book.rules[kind.name].effective_from
    if since is not None:
        chosen = chosen.where(or_(kind.starts_at.is_(None), kind.starts_at >= since))
    if after is not None:
        chosen = chosen.where(key > after)
    return chosen.order_by(key).limit(_PAGE)


def _outlived(kind: DeadlineKind, after: Any) -> Select[Any]:
    true = exists().where(kind.still_true()).correlate(deadlines)
    chosen = select(deadlines.c.id.label("after"), deadlines.c.subject_id).where(
        deadlines.c.kind == kind.name, deadlines.c.state.in_(LIVE_STATES), ~true
    )
    if after is not None:
        chosen = chosen.where(deadlines.c.id > after)
    return chosen.order_by(deadlines.c.id).limit(_PAGE)


def _undeserved(kind: DeadlineKind, withdrawn_when: ColumnElement[bool], after: Any) -> Select[Any]:
    """What was flagged and no longer deserves it, such as a refund that was cancelled after it was late."""
    undeserved = exists().where(kind.binds(), withdrawn_when).correlate(deadlines)
    chosen = select(deadlines.c.id.label("after"), deadlines.c.subject_id).where(
        deadlines.c.kind == kind.name, deadlines.c.state == "fired", undeserved
    )
    if after is not None:
        chosen = chosen.where(deadlines.c.id > after)
    return chosen.order_by(deadlines.c.id).limit(_PAGE)


def pages(engine: Engine, query: Callable[[Any], Select[Any]]) -> Iterator[Sequence[Any]]:
    """Every page of a query, each in a transaction of its own, which is made again where it was cut off.

    The query is handed the last row's ``after``, at first None.
    """
    after = None
    while True:
        page = retried(partial(_page, engine, query(after)))
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1].after


def _page(engine: Engine, query: Select[Any]) -> Sequence[Any]:
    with reading(engine) as connection:
        return connection.execute(query).all()


def _note(engine: Engine, query: Callable[[Any], Select[Any]], table_name: str) -> list[Fault]:
    """Note all pages of a query.

    Returns:
        a fault for each row whose key our columns cannot keep; SQLite's keep any.
    """
    too_long = []
    for page in pages(engine, query):
        fitting = [row for row in page if len(row.subject_id) <= LONGEST_KEY or engine.dialect.name == "sqlite"]
        _note_page(engine, fitting, table_name)
        if len(fitting) < len(page):
            too_long += [_too_long(table_name, row.subject_id) for row in page if len(row.subject_id) > LONGEST_KEY]
    return too_long


def _too_long(table_name: str, key: str) -> Fault:
    said = f"{table_name} {key[:40]}... has a key of {len(key)} characters, and gets no deadline: {LONGEST_KEY} can be kept."
    return Fault(table_name, key[:LONGEST_KEY], LONG_KEY, said)


def _tell_long_keys(engine: Engine, clock: Clock, faults: Sequence[Fault]) -> int:
    open_ones = select(own.problems.c.table_name, own.problems.c.subject_id)
    open_ones = open_ones.where(own.problems.c.code == LONG_KEY, own.problems.c.resolved_at.is_(None))
    with writing(engine) as connection:
        known = {(row.table_name, row.subject_id) for row in connection.execute(open_ones)}
        return problems.record(connection, known, faults, clock.now(connection)) if known or faults else 0


def _note_page(engine: Engine, page: Sequence[Any], table_name: str) -> None:
    rows = [{"table_name": table_name, "subject_id": row.subject_id} for row in page]
    if rows:
        retried(partial(_note_rows, engine, rows))


def _note_rows(engine: Engine, rows: Sequence[dict[str, Any]]) -> None:
    with writing(engine) as connection:
        connection.execute(insert(changes), rows)


def _note_open_problems(engine: Engine) -> None:
    waiting = select(own.problems.c.table_name, own.problems.c.subject_id)
    # Of a key that is too long nobody but reconcile knows anything.
    waiting = waiting.where(own.problems.c.resolved_at.is_(None), own.problems.c.code != LONG_KEY).distinct()
    with writing(engine) as connection:
        connection.execute(insert(changes).from_select(["table_name", "subject_id"], waiting))


def _note_overdue(engine: Engine, kind: DeadlineKind, before: datetime) -> None:
    overdue = _overdue_starts(kind, before)
    if overdue is None:
        return
    if engine.dialect.name != "sqlite":  # of a row with a longer key it is told once it runs
        overdue = overdue.where(func.char_length(as_text(kind.subject_key)) <= LONGEST_KEY)
    _note_page(engine, retried(partial(_page, engine, overdue)), kind.subject.name)


def _overdue_starts(kind: DeadlineKind, before: datetime) -> Select[Any] | None:
    """The rows whose clock should long have started and which are not reported yet; the rest waits for the next time."""
    expected = kind.start_expected_at
    if expected is None:
        return None
    subject_id = as_text(kind.subject_key)
    reported = exists().where(
        own.problems.c.table_name == kind.subject.name,
        own.problems.c.subject_id == subject_id,
        own.problems.c.kind == kind.name,
        own.problems.c.code == "overdue_start",
        own.problems.c.resolved_at.is_(None),
    )
    long_ago = expected.between(literal(EARLIEST, Instant()), literal(before, Instant()))
    chosen = select(kind.subject_key.label("after"), subject_id.label("subject_id")).where(long_ago, ~reported)
    return chosen.order_by(kind.subject_key).limit(_PAGE)
