"""The one loop of every verb: batches of one transaction each, until a batch comes back short. Imports database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from returnclock.database import retried


def until_short(batch: Callable[[int], int], *, limit: int | None, size: int) -> int:
    """Take batches of at most ``size`` rows until one takes fewer, or ``limit`` rows were taken.

    ``batch`` is one transaction: it is handed the most that it may take and answers how many it took. After a passing fault
    it is tried again, so it must count its work only once it is committed.

    Returns:
        how many rows were taken.
    """
    taken = 0
    while limit is None or taken < limit:
        most = size if limit is None else min(size, limit - taken)
        done = retried(partial(batch, most))
        taken += done
        if done < most:
            break
    return taken
