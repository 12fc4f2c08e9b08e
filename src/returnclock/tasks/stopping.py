"""How a task in hand takes it that its process is told to stop. Imports nothing of ours."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from billiard.process import current_process


@contextmanager
def finished_first() -> Iterator[None]:
    """Let a process of a worker's pool finish what is inside before SIGTERM may end it, as a worker itself does.

    honcho, foreman, Heroku and ``pkill`` send SIGTERM to a whole group of processes, and a process of the pool would end
    in the middle of a task: letters that the mail server has taken, and of which that is not written down yet, would go out
    again. The worker waits for the tasks in hand and then ends its processes by itself. Refused: Celery's ``REMAP_SIGTERM``,
    which must stand in the environment before the worker starts, and turns SIGTERM into the stop that waits for nothing.

    A process that hangs is ended by SIGKILL, as the time limits do. Where a worker has no pool, SIGTERM is the worker's own.
    """
    if current_process().name == "MainProcess":
        yield
        return
    ended_by = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, ended_by)
