"""How fast changes become deadlines."""

from __future__ import annotations

import time

from returnclock.runs import perform
from tests.benchmarks.contest import Contender
from tests.benchmarks.sweeping import WARM_UP_ROWS
from tests.benchmarks.workload import Workload, WrongOutcome


def stamping(workload: Workload, rows: int) -> Contender:
    """Stamp new disputes, whose orders are looked at as well."""

    def turn(of_rows: int) -> float:
        workload.restore(of_rows, stamped=False)
        begun = time.perf_counter()
        done = perform(workload.wiring, "stamp", trigger="beat", actor="beat")
        took = time.perf_counter() - begun
        if (done["changed"], done["backlog"]) != (of_rows, 0):
            raise WrongOutcome(f"stamped {done['changed']} of {of_rows}, {done['backlog']} changes are left")
        return took

    turn(min(rows, WARM_UP_ROWS))
    settings = {"processes": 1, "batch_size": workload.wiring.settings.batch_size}
    return Contender("returnclock", rows, lambda: turn(rows), settings)
