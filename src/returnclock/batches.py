"""The one loop of every verb: batches of one transaction each, until they come back short. Imports database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Select, func, select

from returnclock.database import retried

# How far a backlog is counted: to count on through a million costs as much as twenty batches, after every run.
COUNTED = 10_000


def in_rounds(batches: Sequence[Callable[[int], int]], *, limit: int | None, size: int, seconds: float | None = None) -> int:
    """Take a batch of each in turn, round after round, and leave out those that took fewer than they were offered.

    Ends when none is left, after ``limit`` rows in all, or once ``seconds`` are over: what is left is for the next tick, so
    that the ticks that wait behind this one get their turn. One of a million rows keeps none of the others waiting.

    A batch is one transaction: it is handed the most rows that it may take and answers how many it took. After a passing fault
    it is tried again, so it must count its work only once it is committed.

    Returns:
        how many rows were taken.
    """
    begun = monotonic()
    taken = 0
    waiting = list(batches)
    while waiting:
        for batch in tuple(waiting):
            most = size if limit is None else min(size, limit - taken)
            if most < 1:
                return taken
            done = retried(partial(batch, most))
            taken += done
            if done < most:
                waiting.remove(batch)
            if seconds is not None and monotonic() - begun >= seconds:
                return taken
    return taken


def in_halves(take: Callable[[int], int], size: int) -> int:
    """Take a batch that a row breaks once more, as two of half its size; the second only where the first was full.

    ``take`` comes back here for whichever half is broken too, until the row is alone: a dozen batches for a thousand rows.

    Returns:
        how many rows were taken.
    """
    half = take(size // 2)
    return half if half < size // 2 else half + take(size - size // 2)


def counted(connection: Connection, chosen: Select[Any], most: int | None = COUNTED) -> int:
    """How many rows a query chooses, up to ``most``; None counts all."""
    return int(connection.execute(select(func.count()).select_from(chosen.limit(most).subquery())).scalar_one())


def until_short(batch: Callable[[int], int], *, limit: int | None, size: int, seconds: float | None = None) -> int:
    """Take batches of one work alone; see `in_rounds`."""
    return in_rounds([batch], limit=limit, size=size, seconds=seconds)
