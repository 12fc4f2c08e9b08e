"""A peer's worker as a process of its own, which has done jobs before, and the seconds that a set of jobs took it.

A worker lives for days; what its first jobs pay for imports, connections and statements never seen before is not counted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import func, select

from returnclock.database import reading
from returnclock.tables.clock import deadlines
from tests.benchmarks.workload import Workload, WrongOutcome

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 300.0
GOODBYE_S = 15.0


class PeerProcess:
    """``python -m …`` with its words; stopped at the end of a ``with``, in order if it can be."""

    def __init__(self, words: Sequence[str], **environment: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environment},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._log.close()

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def require_alive(self) -> None:
        """Raises WrongOutcome with what it said last."""
        if self.process.poll() is not None:
            self._log.seek(0)
            raise WrongOutcome(f"the peer ended:\n{self._log.read()[-3000:].decode(errors='replace')}")


def wait_for(condition: Callable[[], bool], alive: Sequence[PeerProcess], pause: float = 0.05) -> None:
    """Return when the condition holds. Raises WrongOutcome when it does not in time, or when a process ends before."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        for process in alive:
            process.require_alive()
        if time.monotonic() > end:
            raise WrongOutcome(f"not within {PATIENCE_S:g} seconds")
        time.sleep(pause)


def wait_until_fired(workload: Workload, rows: int, alive: Sequence[PeerProcess]) -> None:
    """Return when so many deadlines are fired. Raises WrongOutcome as `wait_for` does."""

    def all_fired() -> bool:
        with reading(workload.engine) as connection:
            chosen = select(func.count()).where(deadlines.c.state == "fired")
            return bool(connection.execute(chosen).scalar_one() >= rows)

    wait_for(all_fired, alive, pause=0.2)


def seconds_of_firing(workload: Workload, rows: int, alive: Sequence[PeerProcess]) -> float:
    """Wait until all is fired, and return the seconds from the first to the last: no start-up, no polling is counted."""
    wait_until_fired(workload, rows, alive)
    with reading(workload.engine) as connection:
        first, last = connection.execute(select(func.min(deadlines.c.fired_at), func.max(deadlines.c.fired_at))).one()
    workload.require_fired(rows)
    return float((last - first).total_seconds())


def deadline_ids(workload: Workload) -> list[int]:
    """The deadlines that a job each is scheduled for."""
    with reading(workload.engine) as connection:
        return list(connection.execute(select(deadlines.c.id).order_by(deadlines.c.id)).scalars())
