"""One batch of stamping: a transaction's work on the rows that changed. Imports the noun rooms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, UniqueConstraint, select

from returnclock import problems
from returnclock.facts import policy_of, read_archived, read_facts
from returnclock.faults import Fault, faults_of_rows, faults_of_vacations, is_sound_order
from returnclock.holds import spans_under, unfinished
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.rulebook import Rulebook
from returnclock.settle import note_reverted, settle, withdraw
from returnclock.standstill import release
from returnclock.starts import anchor_fault, order_fault, start_fault
from returnclock.tables.clock import LIVE_STATES, deadlines
from returnclock.tables.interventions import vacations
from returnclock.tables.keys import among, by_index, keys_of
from returnclock.tally import Tally
from returnclock.write_deadlines import Stamping, insert_deadlines, reopen

_NONE: frozenset[Any] = frozenset()
_BY_SUBJECT = next(one for one in deadlines.constraints if isinstance(one, UniqueConstraint))


@dataclass
class Batch:
    """One transaction's work on the changed rows of the tables.

    inspected: by table, the rows around (orders, parties) that an earlier batch of the run has looked at for faults.
    seen: those that this batch has looked at. stamped: the subjects that got new deadlines, by kind.
    put_off: the rows (table, id) of which somebody has a deadline in hand; they must be looked at again.
    """

    connection: Connection
    book: Rulebook
    hand: Hand
    now: datetime
    inspected: Mapping[str, set[Any]] = field(default_factory=dict)
    seen: defaultdict[str, set[Any]] = field(default_factory=partial(defaultdict, set))
    stamped: dict[DeadlineKind, list[str]] = field(default_factory=dict)
    put_off: set[tuple[str, str]] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)
    _asked: set[tuple[str, str]] = field(default_factory=set)
    _faults: list[Fault] = field(default_factory=list)

    def of_table(self, table_name: str, subject_ids: set[str]) -> None:
        """Stamp and settle every kind of the table, and look for what is wrong with the rows and those around them."""
        self._asked |= {(table_name, subject_id) for subject_id in subject_ids}
        around: defaultdict[str, set[Any]] = defaultdict(set)
        for kind in self.book.on_table(table_name):
            self._faults += self._of_kind(kind, subject_ids, around)
        for name in around:
            # Not in place, and not of a union: that would go through all that the run has inspected, for each batch.
            around[name] = around[name] - self.inspected.get(name, _NONE) - {None}
        if table_name == vacations.name:
            self._faults += faults_of_vacations(self.connection, sorted(map(int, subject_ids)))
        if table_name in self.book.market.places:
            around[table_name].update(keys_of(subject_ids, self.book.market[table_name].key))
        for name, keys in sorted(around.items()):
            # An order is often both: around a dispute that changed, and changed itself. One look a batch is enough.
            self._faults += faults_of_rows(self.connection, self.book, name, sorted(keys - self.seen[name]))
            self.seen[name] |= keys

    def record_problems(self) -> None:
        """Say in ``clock_problems`` what is wrong with the rows of all tables; the last that a batch does."""
        # Not all that may be wrong with what was put off has been asked: nothing of it counts as mended.
        self.tally.problems += problems.record(self.connection, self._asked - self.put_off, self._faults, self.now)

    def _of_kind(self, kind: DeadlineKind, subject_ids: set[str], around: defaultdict[str, set[Any]]) -> list[Fault]:
        # Deadlines first, under lock, then the rows: what a sweep has done to a row is then seen with what it did to the
        # deadline. The other way round its work would look like a re-opening.
        kept, in_hand = self._under_lock(kind, subject_ids)
        self.put_off |= {(kind.subject.name, subject_id) for subject_id in in_hand}
        keys = keys_of(subject_ids - in_hand, kind.subject_key)
        expected_before = self.now - self.book.guards.start_expected_within
        rows = read_facts(self.connection, kind, keys, awaited_before=expected_before)
        work = _Work(kind, self.now, self.book.rules[kind.name].effective_from, expected_before)
        work.fired = [one.id for those in kept.values() for one in those if one.state == "fired"]
        for row in rows:
            work.sort(row, kept.get(row.subject_id, ()))
        if kind.order_id is not None:
            self._look_around(rows, around)
        running = {row.subject_id for row in rows if row.runs}
        work.stopped += [one.id for of, those in kept.items() if of not in running for one in those if one.state in LIVE_STATES]
        archived = read_archived(self.connection, kind, sorted(row.subject_id for row in work.new))
        work.leave_what_was_archived(archived)
        for subject_id, rows_of_it in archived.items():
            kept[subject_id] += rows_of_it
        self._write(kind, work, kept)
        self._count(kind, work, len(subject_ids))
        return work.faults

    def _under_lock(
        self, kind: DeadlineKind, subject_ids: set[str]
    ) -> tuple[defaultdict[str, list[Row[Any]]], AbstractSet[str]]:
        """Lock the deadlines of the subjects; nobody is waited for.

        Refused: to wait. An operator who extends or undoes thousands has them in hand for minutes, and all that is behind one
        of them, new rows too, would go without a date for as long.

        Returns:
            the deadlines by subject, and the subjects of which somebody has one in hand; of those no deadline is returned.
        """
        kept: defaultdict[str, list[Row[Any]]] = defaultdict(list)
        chosen = select(deadlines).where(deadlines.c.kind == kind.name, among(deadlines.c.subject_id, subject_ids))
        chosen = by_index(chosen, deadlines, str(_BY_SUBJECT.name))
        rows = self.connection.execute(chosen.order_by(deadlines.c.id).with_for_update(skip_locked=True)).all()
        in_hand = self._in_hand(chosen, {row.id for row in rows})
        for row in rows:
            if row.subject_id not in in_hand:
                kept[row.subject_id].append(row)
        return kept, in_hand

    def _in_hand(self, chosen: Select[Any], locked: AbstractSet[int]) -> AbstractSet[str]:
        """The subjects of the chosen deadlines of which one is not locked; asked afterwards, one written since counts too."""
        if self.connection.dialect.name == "sqlite":  # nobody else writes meanwhile
            return _NONE
        there = self.connection.execute(chosen.with_only_columns(deadlines.c.id, deadlines.c.subject_id))
        return {row.subject_id for row in there if row.id not in locked}

    def _look_around(self, rows: Sequence[Any], around: defaultdict[str, set[Any]]) -> None:
        around["sellers"].update([row.seller for row in rows])
        around["buyers"].update([row.buyer for row in rows])
        for row in rows:
            # Most orders are sound by what was just read with them: a second look would cost as much as the first.
            known = self.seen if is_sound_order(self.book, row) else around
            known["orders"].add(row.order_id)

    def _write(self, kind: DeadlineKind, work: _Work, kept: dict[str, list[Row[Any]]]) -> None:
        stamping = Stamping(self.connection, self.book, self.hand, self.now)
        self._run_again(kind, [one for those in kept.values() for one in those if one.state == "held"], set(work.stopped))
        work.changed += settle(self.connection, self.hand, self.now, kind, work.stopped)
        work.changed += withdraw(self.connection, self.hand, self.now, kind, work.fired)
        note_reverted(self.connection, self.hand, self.now, kind, work.reverted)
        stamping.freeze(kind, [policy_of(self.book, kind, row) for row in work.counted_by_rule()])
        work.changed += insert_deadlines(stamping, kind, work.new, kept, work.faults)
        if work.new:
            self.stamped[kind] = [row.subject_id for row in work.new]
        work.changed += reopen(stamping, kind, work.again, kept, work.faults)

    def _run_again(self, kind: DeadlineKind, held: Sequence[Row[Any]], stopped: set[int]) -> None:
        """A row that stops running while it is held gets what stood still until now, in case it runs again."""
        ids = sorted(one.id for one in held if one.id in stopped)
        spans = spans_under(self.connection, kind, unfinished(self.connection, self.now), ids, self.now) if ids else {}
        release(self.connection, self.book, self.hand, self.now, kind, spans, "the row stopped running while it was held")

    def _count(self, kind: DeadlineKind, work: _Work, examined: int) -> None:
        counted = self.tally.of(kind.name)
        counted.examined += examined
        counted.changed += work.changed
        counted.skipped += max(0, examined - work.changed - len(work.faults))


class _Work:
    """The rows of one kind, sorted by what has to be done with them."""

    def __init__(self, kind: DeadlineKind, now: datetime, effective_from: datetime | None, expected_before: datetime) -> None:
        self.kind, self.now, self.effective_from, self.expected_before = kind, now, effective_from, expected_before
        self.new: list[Row[Any]] = []
        self.again: list[tuple[Row[Any], Row[Any]]] = []
        self.stopped: list[int] = []
        self.fired: list[int] = []
        self.reverted: list[int] = []
        self.faults: list[Fault] = []
        self.changed = 0

    def sort(self, row: Row[Any], kept: Sequence[Row[Any]]) -> None:
        """Decide for one row; a row that is set aside keeps what it has, and no sweep fires it while it is unreadable."""
        if not row.runs:
            overdue = start_fault(self.kind, row, self.expected_before)
            self.faults += [overdue] if overdue else []
            return
        fault = order_fault(self.kind, row) or anchor_fault(self.kind, row, self.now)
        if fault is not None:
            self.faults.append(fault)
            return
        current = None
        if kept:
            self.stopped += [one.id for one in kept if one.state in LIVE_STATES and one.starts_at != row.starts_at]
            current = next((one for one in kept if one.starts_at == row.starts_at), None)
        if current is None:
            if self.effective_from is None or row.starts_at >= self.effective_from:
                self.new.append(row)
        elif current.state in ("met", "void"):
            self.again.append((row, current))
        elif current.state == "fired" and self.kind.stops_when_fired:
            if self.kind.reopening == "restarts":
                self.again.append((row, current))
            else:
                self.reverted.append(current.id)
                self._reopened_after_firing(row, current)

    def counted_by_rule(self) -> list[Row[Any]]:
        """The rows that are counted by the rule of today: all but those that run again with the date that they had."""
        return self.new + [row for row, _ in self.again] if self.kind.reopening == "restarts" else self.new

    def leave_what_was_archived(self, archived: Mapping[str, Sequence[Any]]) -> None:
        """A deadline that fired, however long ago, does not fire again from the same start."""
        if self.kind.reopening == "restarts" and self.kind.stops_when_fired:
            return  # counted anew from now, as after any firing
        for row in list(self.new):
            past = archived.get(row.subject_id, ())
            ended = next((one for one in past if one.state == "fired" and one.starts_at == row.starts_at), None)
            if ended is not None:
                self.new.remove(row)
                if self.kind.stops_when_fired:
                    self._reopened_after_firing(row, ended)

    def _reopened_after_firing(self, row: Row[Any], current: Any) -> None:
        of = f"{self.kind.subject.name} {row.subject_id}"
        dates = ", ".join(self.kind.anchor_places)
        said = (
            f"{of} runs again although {self.kind.title} ended on {current.fired_at:%Y-%m-%d} and {dates} has not changed. "
            f"Nothing is done twice: it stays as it is until {dates} changes."
        )
        self.faults.append(Fault(self.kind.subject.name, row.subject_id, "reopened_after_end", said, self.kind.name))
