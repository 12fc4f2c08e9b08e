"""The other rows that say whether a deadline runs, where a shop keeps its status or its dates in a table beside the subject's.

The lock on the subject does not cover them. They are locked too before anything is done upon what they say, so that a front end
which is about to change one comes either before the look or after the change. Imports kinds and the column types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, select

from returnclock.kinds import DeadlineKind
from returnclock.tables.types import among, as_text, keys_of


def held_elsewhere(connection: Connection, kind: DeadlineKind, subject_ids: Sequence[str]) -> set[str]:
    """Lock the other rows of subjects whose own rows are locked, and name the subjects of which somebody else holds one.

    Nobody is waited for. A row that is only now inserted cannot be locked; one with a foreign key to the subject waits for it.
    """
    held: set[str] = set()
    keys = keys_of(subject_ids, kind.subject_key)
    for look in kind.looks_at:
        if look.locks:
            of = None if connection.dialect.name in ("mysql", "mariadb") else [look.source]
            there = select(as_text(kind.subject_key)).select_from(kind.subject).join(look.source, look.on)
            there = there.where(among(kind.subject_key, keys))
            present = Counter(connection.execute(there).scalars())
            # Shared: what they say must stay, and no other worker is kept from looking at it too.
            locking = there.with_for_update(read=True, skip_locked=True, of=of)
            locked = Counter(connection.execute(locking).scalars())
            held |= {subject_id for subject_id, number in present.items() if locked[subject_id] < number}
    return held
