"""A second process that does the same task at the same time, as the processes of a worker share what there is."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from returnclock.runs import perform
from returnclock.schema import require_upgraded
from tests.benchmarks.workload import Workload
from tests.system.crowded_market import wired


@contextmanager
def colleague_of(workload: Workload, folder: Path) -> Iterator[Pipe]:
    """The other process: it does a task whenever it is told one; started and connected before anything is timed."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(workload.url, folder, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(30)
        process.kill()


def together(workload: Workload, task: str, colleague: Pipe) -> Callable[[], None]:
    """The task in this process and in the other one, until both have ended."""

    def both() -> None:
        colleague.send(task)
        perform(workload.wiring, task, trigger="cli", actor="clock")
        colleague.recv()

    return both


def _work(url: str, folder: Path, told: Pipe) -> None:
    wiring = wired(url, folder)
    require_upgraded(wiring.engine)  # connects, and loads what that takes, as a worker does when it starts
    gc.freeze()  # as a worker's processes do before their first task
    while True:
        try:
            task = told.recv()
        except EOFError:
            return
        perform(wiring, task, trigger="cli", actor="clock")
        told.send(True)
