"""The rows that were set aside or fell back: opened when seen, closed by themselves when mended. Imports tables and faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from returnclock.database import insert_new
from returnclock.faults import Fault
from returnclock.tables.clock import CANNOT_FIRE, problems
from returnclock.tables.keys import among, by_index
from returnclock.tables.types import LONGEST_KEY

_KEY = (problems.c.table_name, problems.c.subject_id, problems.c.kind, problems.c.code)


def record(connection: Connection, looked_at: Iterable[tuple[str, str]], faults: Sequence[Fault], now: datetime) -> int:
    """Make ``clock_problems`` say of the rows that were looked at (table, id) just what is wrong with them now.

    Of rows that were seen only beside those, problems are opened and none is closed: not all of them were asked about.
    Whether a deadline can take effect only the sweep knows (`unfireable`).

    What is wrong with a row whose key our column cannot keep goes unsaid: it must not stop what is said of the others.

    Returns:
        how many problems are new or came back.
    """
    if connection.dialect.name != "sqlite":
        faults = [fault for fault in faults if len(fault.subject_id) <= LONGEST_KEY]
    wanted = {(fault.table_name, fault.subject_id, fault.kind, fault.code): fault for fault in faults}
    ids: defaultdict[str, set[str]] = defaultdict(set)
    asked = set(looked_at)
    for table_name, subject_id in (*asked, *((f.table_name, f.subject_id) for f in faults)):
        ids[table_name].add(subject_id)
    known = {
        (row.table_name, row.subject_id, row.kind, row.code): row
        for table_name, subject_ids in ids.items()
        for row in connection.execute(
            select(problems).where(problems.c.table_name == table_name, among(problems.c.subject_id, sorted(subject_ids)))
        )
    }
    mended = [
        row.id
        for key, row in known.items()
        if key not in wanted and key[:2] in asked and row.resolved_at is None and row.code != CANNOT_FIRE
    ]
    lock(connection, [*mended, *(row.id for key, row in known.items() if key in wanted)])
    if mended:
        connection.execute(update(problems).where(among(problems.c.id, mended)).values(resolved_at=now))
    _renew(connection, known, wanted, now)
    _insert(connection, [fault for key, fault in sorted(wanted.items()) if key not in known], now)
    return sum(1 for key in wanted if key not in known or known[key].resolved_at is not None)


def lock(connection: Connection, ids: Iterable[int]) -> None:
    """Lock problems before any of them is written, by id: of two who write the same ones the second waits for the first."""
    chosen = sorted(ids)
    if chosen:
        locking = by_index(select(problems.c.id).where(among(problems.c.id, chosen)), problems).order_by(problems.c.id)
        connection.execute(locking.with_for_update()).close()


def _renew(connection: Connection, known: dict[Any, Any], wanted: dict[Any, Fault], now: datetime) -> None:
    for key, fault in wanted.items():
        row = known.get(key)
        if row is not None:
            connection.execute(
                update(problems)
                .where(problems.c.id == row.id)
                .values(
                    problem=fault.problem,
                    last_seen_at=now,
                    first_seen_at=row.first_seen_at if row.resolved_at is None else now,
                    resolved_at=None,
                )
            )


def _insert(connection: Connection, faults: Sequence[Fault], now: datetime) -> None:
    if faults:
        rows = [vars(fault) | {"first_seen_at": now, "last_seen_at": now} for fault in faults]
        connection.execute(insert_new(connection, problems, _KEY), rows)
