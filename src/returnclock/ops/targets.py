"""Which deadlines an operator means: one by its number, those of one row, or all of a scope.

Imports scopes, spelling, neighbours and rulebook, and turn beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, exists, func, select

from returnclock.clock import Clock
from returnclock.errors import BadUsage, NotFound, Refused
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.neighbours import held_elsewhere
from returnclock.ops.turn import InHand
from returnclock.rulebook import Rulebook
from returnclock.scopes import Scope, any_of, check
from returnclock.spelling import as_kept, is_known
from returnclock.tables.clock import deadlines
from returnclock.tables.keys import among, as_text, by_index, keys_of

PAGE = 500
# An intervention is one transaction, in which a front end waits for its rows; and that none of ours lives for long is what
# vacations and those who follow the ledger by its ids rely on.
LONGEST_S = 240.0
_TOO_MANY = (
    f"these are more than one transaction does in {LONGEST_S / 60:.0f} minutes, and front ends wait for its rows: nothing was "
    "done. Take fewer at once, as by --kind, --country or --where."
)


@dataclass(frozen=True)
class Desk:
    """What an intervention works with: the database, the clock, the rules, whose hand it is and why."""

    engine: Engine
    clock: Clock
    book: Rulebook
    hand: Hand
    reason: str
    dry_run: bool = False

    def said(self) -> dict[str, Any]:
        """What every result repeats and every event keeps: who and why."""
        return {"reason": self.reason, "by": self.hand.actor}


def scope_of(
    connection: Connection, book: Rulebook, words: Sequence[str], kind: str | None, where: Mapping[str, str], everything: bool
) -> Scope:
    """Understand what an operator typed: "4711", "disputes 81", or columns and their values.

    Raises:
        BadUsage: nothing was named, or a column that there is not.
        NotFound: there is no such deadline or row, or no kind binds such a table.
        UnknownKind: there is no such kind.
    """
    name = book.kind(kind).name if kind else None
    if len(words) > 2 or (words and (where or everything)):
        raise BadUsage(reason="Name one deadline (its id), or one row (TABLE ID), or say by options which are meant.")
    if len(words) == 1:
        return _of_deadline(connection, book, words[0])
    if words:
        return Scope(name, words[0], _row_of(connection, book, *words))
    if not (name or where or everything):
        raise BadUsage(reason="Say which: a deadline's id, TABLE ID, --kind, --country, --where COLUMN=VALUE, or --all.")
    scope = Scope(name, where=tuple(sorted(where.items())))
    check(scope, book.kinds)
    return scope


def _row_of(connection: Connection, book: Rulebook, table: str, written: str) -> str:
    kinds = book.binding(table)
    subject_id = as_kept(connection, kinds, written)
    if not is_known(connection, kinds, subject_id):
        raise NotFound(what=f"row in {table} with the id", which=written, hint="")
    return subject_id


def _of_deadline(connection: Connection, book: Rulebook, written: str) -> Scope:
    if not written.isdecimal():
        raise BadUsage(reason=f'{written!r} is no deadline\'s id; a row is named by table and id, such as "disputes 81".')
    ids = keys_of([written], deadlines.c.id)  # none of a number that no database can hold
    row = connection.execute(select(deadlines).where(deadlines.c.id.in_(ids))).one_or_none()
    if row is None:
        raise NotFound(what="deadline", which=written, hint='; "returnclock deadlines" lists them')
    return Scope(row.kind, book.kind(row.kind).subject.name, row.subject_id)


def counted(connection: Connection, book: Rulebook, scope: Scope, *states: str) -> dict[str, int]:
    """How many deadlines of each kind the scope covers in one of the states."""
    found = {}
    for kind in book.kinds:
        covered = exists().where(kind.binds(), any_of(kind, [scope])).correlate(deadlines)
        chosen = select(func.count()).where(deadlines.c.kind == kind.name, deadlines.c.state.in_(states), covered)
        number = int(connection.execute(chosen).scalar_one())
        if number:
            found[kind.name] = number
    return found


@dataclass
class Pages:
    """Takes deadlines under lock, with their subjects, a page at a time in the order of their ids. It waits for nobody.

    What somebody has in hand is ``left``, and counted: a front end's long transaction delays its own rows alone.
    whole: nothing may be left, as is right for a single row.
    beside: whether other tables that say whether a deadline runs must say the same until the end. What somebody is changing
    there is in hand too.
    endless: whether it may take longer than ``LONGEST_S``.
    """

    connection: Connection
    whole: bool = False
    beside: bool = False
    endless: bool = False
    left: int = 0
    begun: float = field(default_factory=monotonic)

    def of(self, chosen: Select[Any], kind: DeadlineKind) -> Iterator[Sequence[Row[Any]]]:
        """The chosen rows of ``clock_deadlines``; asked once more under the lock.

        Raises:
            InHand: somebody has one of them, and nothing may be left.
            Refused: they are too many for one transaction.
        """
        after = 0
        while True:
            if not self.endless and monotonic() - self.begun > LONGEST_S:
                raise Refused(reason=_TOO_MANY)
            page = chosen.with_only_columns(deadlines.c.id, deadlines.c.subject_id)
            page = page.where(deadlines.c.id > after).order_by(deadlines.c.id).limit(PAGE)
            found = self.connection.execute(page).all()
            locked = self._locked(kind, found) if found else []
            self.left += len(found) - len(locked)
            if self.whole and self.left:
                raise InHand
            if locked:
                yield self.connection.execute(chosen.where(among(deadlines.c.id, locked)).order_by(deadlines.c.id)).all()
            if len(found) < PAGE:
                return
            after = found[-1].id

    def _locked(self, kind: DeadlineKind, found: Sequence[Any]) -> list[int]:
        """Lock deadlines, then their subjects, as every worker does; returns the deadlines of which all is locked."""
        mine = by_index(select(deadlines.c.id).where(among(deadlines.c.id, [row.id for row in found])), deadlines)
        ids = set(self._under_lock(mine.order_by(deadlines.c.id)))
        keys = keys_of({row.subject_id for row in found if row.id in ids}, kind.subject_key)
        theirs = select(as_text(kind.subject_key)).where(among(kind.subject_key, keys)).order_by(kind.subject_key)
        subjects = set(self._under_lock(theirs))
        if self.beside and subjects:
            subjects -= held_elsewhere(self.connection, kind, sorted(subjects))
        return [row.id for row in found if row.id in ids and row.subject_id in subjects]

    def _under_lock(self, chosen: Select[Any]) -> Sequence[Any]:
        return self.connection.execute(chosen.with_for_update(skip_locked=True)).scalars().all()
