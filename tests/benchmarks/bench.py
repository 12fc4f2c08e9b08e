"""Measures how many rows a second each verb works off, and how much memory it takes to do so.

``python -m tests.benchmarks.bench [--rows N] [--letters N] [--database URL] [--mapped] [--profile]``

The database must be empty; the default is a new SQLite file. Nothing here asserts a time: a test that does fails on a busy
machine and says nothing. Numbers are of one process; workers beside it add to them until the database is busy.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from returnclock.clock import FrozenClock
from returnclock.database import writing
from returnclock.runs import perform
from returnclock.settings import OpsSettings
from returnclock.tables.market import buyers, disputes, orders, sellers
from returnclock.wiring import Wiring
from tests.benchmarks import mapped
from tests.system.crowded_market import PARTIES, add, open_market, present, wired

_CHUNK = 10_000


@dataclass(frozen=True)
class Measured:
    """One verb's work: rows done, seconds taken, and by how much the peak of memory rose meanwhile (MB)."""

    verb: str
    rows: int
    seconds: float
    growth_mb: float

    def __str__(self) -> str:
        rate = self.rows / self.seconds if self.seconds else 0.0
        return f"{self.verb:<28}{self.rows:>10,}{self.seconds:>10.2f} s{rate:>12,.0f}/s{self.growth_mb:>10.1f} MB"


def measure(
    url: str, folder: Path, *, rows: int, letters: int, profiled: bool = False, in_own_tables: bool = False
) -> Iterator[Measured]:
    """Take one dispute for each row through its day: stamped, reminded, some letters delivered, escalated.

    in_own_tables: the disputes are in tables of a shop's own.
    """
    engine = mapped.open_shop(url, folder) if in_own_tables else open_market(url)
    now = present(engine)
    opened = now - timedelta(days=6)
    if in_own_tables:
        mapped.fill(engine, opened, rows, _CHUNK)
    else:
        _fill(engine, opened, rows)
    engine.dispose()
    # Only some of the reminders are delivered here; who was not warned would be spared otherwise.
    ops = OpsSettings(warning_lead="none")
    wiring = mapped.wired(url, folder, ops=ops) if in_own_tables else wired(url, folder, ops=ops)
    steps = (
        ("stamp (changed rows)", "stamp", "examined", opened + timedelta(days=1), None),
        ("send-reminders (reminders)", "send-reminders", "queued", opened + timedelta(days=3, hours=1), None),
        ("deliver-mail (letters)", "deliver-mail", "changed", opened + timedelta(days=3, hours=1), letters),
        ("escalate-disputes (deadlines)", "escalate-disputes", "changed", now, None),
    )
    for verb, task, counted, at, limit in steps:
        with _profile() if profiled else nullcontext():
            yield _run(wiring.at(FrozenClock(at)), verb, task, counted, limit)
    wiring.engine.dispose()


def _run(wiring: Wiring, verb: str, task: str, counted: str, limit: int | None) -> Measured:
    before, begun = _peak_mb(), time.perf_counter()
    done = perform(wiring, task, trigger="manual", actor="bench", limit=limit)
    return Measured(verb, done[counted], time.perf_counter() - begun, _peak_mb() - before)


def _fill(engine: Any, opened: Any, rows: int) -> None:
    with writing(engine) as connection:
        parties = range(1, PARTIES + 1)
        add(connection, sellers, [{"id": n, "email": f"s{n}@shop.example", "time_zone": "Europe/Lisbon"} for n in parties])
        add(connection, buyers, [{"id": n, "email": f"b{n}@home.example"} for n in parties])
        for start in range(1, rows + 1, _CHUNK):
            numbers = range(start, min(start + _CHUNK, rows + 1))
            party = {n: n % PARTIES + 1 for n in numbers}
            of_orders = [{"id": n, "buyer_id": party[n], "seller_id": party[n], "country": "DE"} for n in numbers]
            add(connection, orders, of_orders)
            moments = {n: opened + timedelta(seconds=n % 3600) for n in numbers}
            add(connection, disputes, [{"id": n, "order_id": n, "opened_at": moments[n]} for n in numbers])


def _peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1024 / 1024


@contextmanager
def _profile() -> Iterator[None]:
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="disputes, each with one deadline (10000)")
    parser.add_argument("--letters", type=int, default=2_000, help="at most so many letters are delivered (2000)")
    parser.add_argument("--database", help="the URL of an empty database; a new SQLite file if missing")
    parser.add_argument("--mapped", action="store_true", help="the disputes are in tables of a shop's own")
    parser.add_argument("--profile", action="store_true", help="print where each verb spends its time")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.database or f"sqlite:///{folder}/market.db"
        size = {"rows": chosen.rows, "letters": chosen.letters, "profiled": chosen.profile}
        for measured in measure(url, Path(folder), **size, in_own_tables=chosen.mapped):
            print(measured, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
