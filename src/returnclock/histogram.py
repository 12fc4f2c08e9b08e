"""The histogram of lateness that the database keeps: how late every deadline of a kind ever fired. Imports tables.

A batch of the sweep adds rows of its own to ``clock_lateness``, in the transaction that fires. One row for each kind and
bound would be shorter, and every worker would wait there for every other. `fold` adds up what batches have left; the sums
never change by it, and they outlive workers, purged deadlines and dropped runs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from returnclock.bulk import delete_rows
from returnclock.lateness import BOUNDS, Histogram, Lateness
from returnclock.tables.clock import lateness as table


def record(connection: Connection, kind: str, now: datetime, late: Lateness) -> None:
    """Keep how late a batch fired; the sum of its seconds stands in its first row."""
    rows = [
        {"kind": kind, "le_s": None if bound == math.inf else bound, "number": number, "sum_s": 0.0, "noted_at": now}
        for bound, number in sorted(late.below.items())
    ]
    if rows:
        rows[0]["sum_s"] = late.sum_s
        connection.execute(insert(table), rows)


def read(connection: Connection) -> dict[str, Histogram]:
    """The histogram of each kind that ever fired, over all time; one statement, so that it is of one moment."""
    below: defaultdict[str, defaultdict[float, int]] = defaultdict(lambda: defaultdict(int))
    sums: defaultdict[str, float] = defaultdict(float)
    chosen = select(table.c.kind, table.c.le_s, func.sum(table.c.number), func.sum(table.c.sum_s))
    for kind, le_s, number, sum_s in connection.execute(chosen.group_by(table.c.kind, table.c.le_s)):
        below[kind][math.inf if le_s is None else le_s] += int(number)
        sums[kind] += float(sum_s)
    return {
        # By comparison, not by equality: a version with other bounds may have written some of the rows.
        kind: Histogram(BOUNDS, tuple(sum(n for le, n in found.items() if le <= bound) for bound in BOUNDS), sums[kind])
        for kind, found in sorted(below.items())
    }


def newest(connection: Connection) -> int:
    """The id up to which `fold` may add up, so that it comes to an end while sweeps go on."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())


def fold(connection: Connection, now: datetime, last_id: int, size: int) -> int:
    """Add up at most ``size`` rows, up to the id ``last_id``, into one for each kind and bound; locked rows are left.

    Returns:
        how many rows were added up.
    """
    chosen = select(table).where(table.c.id <= last_id).order_by(table.c.id).limit(size).with_for_update(skip_locked=True)
    rows = connection.execute(chosen).all()
    number: defaultdict[tuple[str, float | None], int] = defaultdict(int)
    sum_s: defaultdict[tuple[str, float | None], float] = defaultdict(float)
    for row in rows:
        number[row.kind, row.le_s] += row.number
        sum_s[row.kind, row.le_s] += row.sum_s
    if len(number) < len(rows) or len(rows) == size:  # a full batch is always moved on, or the next would find it again
        folded = [
            {"kind": kind, "le_s": le_s, "number": number[kind, le_s], "sum_s": sum_s[kind, le_s], "noted_at": now}
            for kind, le_s in number
        ]
        delete_rows(connection, table, [row.id for row in rows])
        connection.execute(insert(table), folded)
    return len(rows)
