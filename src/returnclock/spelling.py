"""Spelling: under which id our tables keep the row that somebody names. Imports kinds and tables."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Uuid, select

from returnclock.kinds import DeadlineKind
from returnclock.tables.arrays import UUID_TEXT
from returnclock.tables.clock import archive, deadlines
from returnclock.tables.keys import among, as_text, keys_of


def as_kept(connection: Connection, kinds: Sequence[DeadlineKind], typed: str) -> str:
    """The id of the row that is meant, as the deadlines of the kinds name it; as it was typed where there is no such row.

    "081" is row 81, and a UUID may be typed in any spelling. A row that is gone is known by what is remembered of it.
    kinds: all of one table.
    """
    key = kinds[0].subject_key
    ways = _spellings(typed) if isinstance(key.type, Uuid) else [typed]
    looks = [select(as_text(key)).where(among(key, keys_of(ways, key)))]
    if len(ways) > 1:
        names = [kind.name for kind in kinds]
        for table in (deadlines, archive):
            looks.append(select(table.c.subject_id).where(table.c.kind.in_(names), table.c.subject_id.in_(ways)))
    for look in looks:
        found = set(connection.execute(look).scalars())
        if found:
            return typed if typed in found else min(found)
    return typed


def is_known(connection: Connection, kinds: Sequence[DeadlineKind], subject_id: str) -> bool:
    """Whether there is such a row, or any memory of it. kinds: all of one table."""
    key, names = kinds[0].subject_key, [kind.name for kind in kinds]
    looks = [select(as_text(key)).where(among(key, keys_of([subject_id], key)))]
    for table in (deadlines, archive):
        looks.append(select(table.c.subject_id).where(table.c.kind.in_(names), table.c.subject_id == subject_id))
    return any(connection.execute(look.limit(1)).first() is not None for look in looks)


def _spellings(typed: str) -> list[str]:
    """What was typed, and every usual way to write the same UUID: where it is kept as text, only one of them is the row's."""
    if not UUID_TEXT.fullmatch(typed):
        return [typed]
    one = UUID(typed)
    return [typed, str(one), one.hex, str(one).upper(), one.hex.upper()]
