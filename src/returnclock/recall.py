"""Recall: all that is kept of a row's deadlines, in the tables and in the archive to which purge has moved it. Read-only.

Imports kinds and tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select

from returnclock.kinds import DeadlineKind
from returnclock.tables.clock import archive, deadlines, events, outbox, policies
from returnclock.tables.document import read_document
from returnclock.tables.keys import among

_Row = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """One deadline, the definition of its policy, its events and its notices; each row with all columns of its table.

    archived_at: when purge moved it; None while it is in the tables.
    """

    deadline: _Row
    definition: _Row
    events: Sequence[_Row]
    notices: Sequence[_Row]
    archived_at: datetime | None = None


@dataclass(frozen=True)
class _Found:
    """Rows of the three tables, those that hang on a deadline by its id."""

    deadlines: Sequence[_Row]
    events: dict[int, list[_Row]]
    notices: dict[int, list[_Row]]


def recall(connection: Connection, kind: DeadlineKind, subject_id: str) -> list[Kept]:
    """The deadlines of one row and kind, in the order of their starts."""
    # The archive last, and its word counts: what is moved between the two looks is then found in one of them, and whole.
    here = _in_tables(connection, kind, subject_id)
    moved_at, moved = _in_archive(connection, kind, subject_id)
    found = {row["id"]: (row, whence) for whence in (here, moved) for row in whence.deadlines}
    wanted = {row["policy_id"] for row, _ in found.values()}
    chosen = select(policies.c.id, policies.c.definition).where(policies.c.id.in_(wanted))
    definitions = {row.id: row.definition for row in connection.execute(chosen)} if wanted else {}
    kept = [
        Kept(row, definitions[row["policy_id"]], whence.events[one], whence.notices[one], moved_at.get(one))
        for one, (row, whence) in found.items()
    ]
    return sorted(kept, key=lambda each: (each.deadline["starts_at"], each.deadline["id"]))


def archived(connection: Connection, kinds: Iterable[DeadlineKind], subject_id: str) -> dict[str, int]:
    """How many deadlines of rows with this id are in the archive, by the table of their rows."""
    tables = {kind.name: kind.subject.name for kind in kinds}
    mine = (archive.c.kind.in_(tables), archive.c.subject_id == subject_id, archive.c.table_name == deadlines.name)
    found: defaultdict[str, int] = defaultdict(int)
    for row in connection.execute(select(archive.c.kind, func.count().label("number")).where(*mine).group_by(archive.c.kind)):
        found[tables[row.kind]] += row.number
    return found


def _in_tables(connection: Connection, kind: DeadlineKind, subject_id: str) -> _Found:
    def rows(table: Table, *where: Any) -> list[_Row]:
        return [dict(row._mapping) for row in connection.execute(select(table).where(*where).order_by(table.c.id))]

    mine = rows(deadlines, deadlines.c.kind == kind.name, deadlines.c.subject_id == subject_id)
    ids = [row["id"] for row in mine]
    about = ((rows(table, among(table.c.deadline_id, ids)) if ids else []) for table in (events, outbox))
    return _Found(mine, *map(_by_deadline, about))


def _in_archive(connection: Connection, kind: DeadlineKind, subject_id: str) -> tuple[dict[int, datetime], _Found]:
    chosen = select(archive).where(archive.c.kind == kind.name, archive.c.subject_id == subject_id)
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(chosen.order_by(archive.c.row_id)):
        found[row.table_name].append(row)
    moved_at = {row.row_id: row.archived_at for row in found[deadlines.name]}
    mine, *about = ([read_document(table, row.content) for row in found[table.name]] for table in (deadlines, events, outbox))
    return moved_at, _Found(mine, *map(_by_deadline, about))


def _by_deadline(rows: Iterable[_Row]) -> dict[int, list[_Row]]:
    found: defaultdict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        found[row["deadline_id"]].append(row)
    return found
