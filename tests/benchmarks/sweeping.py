"""The sweep as a contender, and beside it the bare SQL that does the same writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection as Pipe

from returnclock.runs import perform
from tests.benchmarks.bare import BATCH, BareSweep
from tests.benchmarks.colleague import together
from tests.benchmarks.contest import Contender
from tests.benchmarks.workload import Workload

WARM_UP_ROWS = 3_000  # three batches: two processes both get some


def returnclock(workload: Workload, rows: int) -> Contender:
    """The task as a worker performs it, its row in ``clock_runs`` included."""

    def sweep() -> None:
        perform(workload.wiring, "escalate-disputes", trigger="cli", actor="clock")

    settings = {"processes": 1, "batch_size": workload.wiring.settings.batch_size}
    return warmed(workload, "returnclock", rows, sweep, settings)


def in_two_processes(workload: Workload, rows: int, colleague: Pipe) -> Contender:
    """The same task in this process and in another one: the peers, too, may use every core."""
    settings = {"processes": 2, "batch_size": workload.wiring.settings.batch_size}
    both = together(workload, "escalate-disputes", colleague)
    return warmed(workload, "returnclock, two processes", rows, both, settings)


def bare_sql(workload: Workload, rows: int, sweeper: BareSweep) -> Contender:
    """The same writes in the same batches, without returnclock."""
    drivers = {"postgresql": "psycopg, one statement a batch", "sqlite": "sqlite3, one transaction a batch"}
    settings = {
        "processes": 1,
        "batch_size": BATCH,
        "driver": drivers.get(workload.engine.dialect.name, "PyMySQL, one transaction a batch"),
        "claim": sweeper.claim,
    }
    return warmed(workload, sweeper.name, rows, sweeper.run, settings)


def warmed(workload: Workload, name: str, rows: int, work: Callable[[], object], settings: Mapping[str, object]) -> Contender:
    """A contender that works in this process, and has worked before: a worker lives longer than its first batch."""

    def turn(of_rows: int) -> float:
        workload.restore(of_rows)
        begun = time.perf_counter()
        work()
        took = time.perf_counter() - begun
        workload.require_fired(of_rows)
        return took

    turn(min(rows, WARM_UP_ROWS))
    return Contender(name, rows, lambda: turn(rows), settings)
