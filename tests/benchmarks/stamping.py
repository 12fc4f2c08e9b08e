"""How fast changes become deadlines: in one process, in two at once, and as bare SQL with everything counted beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection as Pipe

from sqlalchemy import func, select

from returnclock.database import reading
from returnclock.runs import perform
from returnclock.tables.clock import changes, deadlines, events
from tests.benchmarks.bare import BATCH
from tests.benchmarks.bare_stamp import BareStamp
from tests.benchmarks.colleague import together
from tests.benchmarks.contest import Contender
from tests.benchmarks.sweeping import WARM_UP_ROWS
from tests.benchmarks.workload import Workload, WrongOutcome


def returnclock(workload: Workload, rows: int) -> Contender:
    """The task as a worker performs it, its row in ``clock_runs`` included; the orders of disputes are looked at as well."""
    settings = {"processes": 1, "batch_size": workload.wiring.settings.batch_size}
    return _warmed(
        workload, "returnclock", rows, lambda: perform(workload.wiring, "stamp", trigger="cli", actor="clock"), settings
    )


def in_two_processes(workload: Workload, rows: int, colleague: Pipe) -> Contender:
    """The same task in this process and in another one, as two processes of a worker take what was noted."""
    settings = {"processes": 2, "batch_size": workload.wiring.settings.batch_size}
    both = together(workload, "stamp", colleague)
    return _warmed(workload, "returnclock, two processes", rows, both, settings)


def bare_sql(workload: Workload, rows: int, stamper: BareStamp) -> Contender:
    """The same writes in the same batches, with all dates and words ready-made."""
    settings = {"processes": 1, "batch_size": BATCH, "counted": "beforehand, not timed"}
    return _warmed(workload, "bare SQL", rows, stamper.run, settings)


def _warmed(workload: Workload, name: str, rows: int, work: Callable[[], object], settings: Mapping[str, object]) -> Contender:
    def turn(of_rows: int) -> float:
        workload.restore(of_rows, stamped=False)
        begun = time.perf_counter()
        work()
        took = time.perf_counter() - begun
        require_stamped(workload, of_rows)
        return took

    turn(min(rows, WARM_UP_ROWS))
    return Contender(name, rows, lambda: turn(rows), settings)


def require_stamped(workload: Workload, rows: int) -> None:
    """Insist that each dispute has its deadline and the event that explains it. Raises WrongOutcome."""
    explained = select(func.count()).join_from(deadlines, events, events.c.deadline_id == deadlines.c.id)
    wanted = {
        "changes left": (0, select(func.count()).select_from(changes)),
        "deadlines": (rows, select(func.count()).where(deadlines.c.state == "running")),
        "events": (rows, select(func.count()).select_from(events)),
        "explained": (rows, explained.where(events.c.event == "deadline:stamped", events.c.detail.is_not(None))),
    }
    with reading(workload.engine) as connection:
        found = {what: connection.execute(counting).scalar_one() for what, (_, counting) in wanted.items()}
    expected = {what: count for what, (count, _) in wanted.items()}
    if found != expected:
        raise WrongOutcome(f"expected {expected}, found {found}")
