"""The other rows that say whether a deadline runs, where a shop keeps its status or its dates in a table beside the subject's.

The lock on the subject does not cover them. They are locked too before anything is done upon what they say, so that a front end
which is about to change one comes either before the look or after the change. Imports kinds, database and the column types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, literal_column, select
from sqlalchemy.exc import DBAPIError

from returnclock.kinds import DeadlineKind
from returnclock.market import Lookup
from returnclock.sqlstates import is_passing
from returnclock.tables.keys import among, as_text, keys_of


def held_elsewhere(connection: Connection, kind: DeadlineKind, subject_ids: Sequence[str]) -> set[str]:
    """Lock the other rows of subjects whose own rows are locked, and name the subjects of which somebody else holds one.

    Nobody is waited for. A row that is only now inserted cannot be locked; one with a foreign key to the subject waits for it.
    """
    keys = keys_of(subject_ids, kind.subject_key)
    beside = [look for look in kind.looks_at if look.locks]
    # Nearly always nobody holds any: one statement for each table, and no need to know which rows there are.
    if not beside or _all_locked(connection, kind, beside, keys):
        return set()
    held: set[str] = set()
    for look in beside:
        there = _rows(kind, look, keys, as_text(kind.subject_key))
        present = Counter(connection.execute(there).scalars())
        locking = there.with_for_update(read=True, skip_locked=True, of=_of(connection, look))
        locked = Counter(connection.execute(locking).scalars())
        held |= {subject_id for subject_id, number in present.items() if locked[subject_id] < number}
    return held


def _all_locked(connection: Connection, kind: DeadlineKind, beside: Sequence[Lookup], keys: Sequence[Any]) -> bool:
    try:
        with connection.begin_nested():
            for look in beside:
                # Shared: what they say must stay, and no other worker is kept from looking at it too.
                rows = _rows(kind, look, keys, literal_column("1"))
                connection.execute(rows.with_for_update(read=True, nowait=True, of=_of(connection, look))).close()
    except DBAPIError as fault:
        if not is_passing(fault) or fault.connection_invalidated:
            raise
        return False
    return True


def _rows(kind: DeadlineKind, look: Lookup, keys: Sequence[Any], column: ColumnElement[Any]) -> Select[Any]:
    there = select(column).select_from(kind.subject).join(look.source, look.on)
    return there.where(among(kind.subject_key, keys))


def _of(connection: Connection, look: Lookup) -> list[FromClause] | None:
    return None if connection.dialect.name in ("mysql", "mariadb") else [look.source]
