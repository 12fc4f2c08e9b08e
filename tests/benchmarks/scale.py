"""Measures returnclock in a market of millions, beside the same in one of thousands.

``python -m tests.benchmarks.scale [--short] [--running N] [--settled N] [--into FOLDER]`` starts servers of its own. Ten
million running deadlines take some ten minutes and thirty gigabytes; ``--short`` shows in a minute that all of it works,
with counts that say nothing. Nothing here asserts a time; a target that is not met is listed as not met.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

import returnclock
from tests.benchmarks import scale_report, scale_turns
from tests.benchmarks.compare import POSTGRESQL
from tests.benchmarks.scale_market import make
from tests.servers import PostgresServer, RedisServer

Say = Callable[[str], None]

SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "autovacuum_naptime": "10s",
    "max_parallel_maintenance_workers": "1",
}
A_DAY = 1_000_000  # deadlines that a large market settles in a day; how long purge takes for them is reckoned from fewer
UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # only while the market is filled


@dataclass(frozen=True)
class Sizes:
    """Deadlines of each market and of each work."""

    running: int = 10_000_000
    settled: int = 20_000_000
    beside: int = 10_000
    due: int = 1_000_000
    churn_rounds: int = 4
    churned: int = 50_000
    idle_turns: int = 200
    quiet_s: float = 15
    late_a_second: int = 1_000
    late_s: int = 30

    @property
    def old(self) -> int:
        """Settled deadlines past their retention: those that the churn purges."""
        return self.churn_rounds * self.churned


SHORT = Sizes(
    running=3_000, settled=6_000, beside=300, due=600, churn_rounds=2, churned=200, idle_turns=3, quiet_s=0.2,
    late_a_second=20, late_s=2,
)  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Where it is measured: databases as often as wanted, a broker for each deployment, and a folder."""

    create: Callable[[], str]
    redis_url: Callable[[int], str]
    folder: Path


def measure(places: Places, sizes: Sizes, say: Say, settled_down: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Fill two markets and measure both; returns what was found, ready for JSON.

    settled_down: called once the markets are filled, to let the server work as a market's would.

    Raises:
        WrongOutcome: some work was not really done.
    """
    begun = time.monotonic()

    def stage(what: str) -> None:
        say(f"{time.monotonic() - begun:7.0f} s  {what}")

    stage(f"filling {sizes.running:,} running and {sizes.settled:,} settled deadlines, and {sizes.beside:,} beside them")
    large = make(places.create(), running=sizes.running, settled=sizes.settled, old=sizes.old)
    small = make(places.create(), running=sizes.beside, settled=2 * sizes.beside, old=100)
    settled_down()
    found: dict[str, Any] = {"database_mb": {}}
    for name, market in (("small", small), ("large", large)):
        found["database_mb"][name] = round(market.one("SELECT pg_database_size(current_database())") / 1e6)
    stage("ticks with nothing due")
    found["idle_ms"] = scale_turns.idle_ticks({"small": small, "large": large}, places.folder, sizes.idle_turns)
    stage("what reads widely")
    found["support_s"] = scale_turns.support(large, places.folder)
    stage(f"{sizes.beside:,} fall due at once in the small market")
    few = scale_turns.drain(small, places.folder / "small", places.redis_url(1), sizes.beside, sizes.quiet_s)
    stage(f"{sizes.due:,} fall due at once in the large one")
    many = scale_turns.drain(large, places.folder / "large", places.redis_url(2), sizes.due, sizes.quiet_s)
    found["drain"] = {"small": few, "large": many}
    stage(f"churn: {sizes.churn_rounds} times {sizes.churned:,} fire and as many are purged")
    found["churn"] = scale_turns.churn(large, places.folder, sizes.churn_rounds, sizes.churned)
    stage(f"{sizes.late_a_second:,} due a second")
    late = scale_turns.lateness(small, places.folder / "late", places.redis_url(3), sizes.late_a_second, sizes.late_s)
    found["lateness_s"] = late
    stage("done")
    return {
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "versions": {"returnclock": returnclock.__version__, "PostgreSQL": large.one("SHOW server_version")},
        "settings": {**POSTGRESQL, **SETTINGS},
        "sizes": asdict(sizes),
        "targets": list(targets(found, sizes)),
        "found": found,
    }


def targets(found: dict[str, Any], sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Each promise with what was found."""
    idle = found["idle_ms"].values()
    ratio = max(of["large"] / of["small"] for of in idle)
    beside = f"{sizes.running:,} beside {sizes.beside:,}"
    yield _target(f"a tick with nothing due, {beside}: times", "at most 1.3", ratio, ratio <= 1.3)
    slowest = max(of["large"] for of in idle)
    yield _target("a tick with nothing due: ms", "below 3", slowest, slowest < 3)
    many, few = found["drain"]["large"], found["drain"]["small"]
    took = many["seconds"]
    yield _target(f"{sizes.due:,} due at once, two processes: s", "below 60", took, took < 60)
    memory = many["worker_mb"] / max(few["worker_mb"], 0.1)
    yield _target("a worker's memory, beside the small market: times", "at most 1.1", memory, memory <= 1.1)
    quiet = many["front_end_ms"]["quiet"]["p99"]
    churn = f"a churn of {sizes.churn_rounds} times {sizes.churned:,}"
    for what, of in (("the drain", many["front_end_ms"]["drain"]), (churn, found["churn"]["front_end_ms"])):
        slower = of["p99"] / quiet
        yield _target(f"a front end's point query during {what}, p99: times", "at most 3", slower, slower <= 3)
    before = sizes.running + sizes.settled
    after = before + sizes.due + sizes.churn_rounds * sizes.churned - found["churn"]["purged"]
    grown = _mb(found["churn"]["sizes_after"]) / after / (_mb(many["sizes_before"]) / before)
    what = f"bytes a deadline with its indexes, after the drain and {churn}: times"
    yield _target(what, "at most 1.15", grown, grown <= 1.15)
    purged, rate = found["churn"]["purged"], found["churn"]["purged_per_second"]
    purging = A_DAY / rate / 60
    what = f"purge of a day's {A_DAY:,} deadlines with their events and notices, at the rate of {purged:,}: minutes"
    yield _target(what, "at most 60", purging, purging <= 60)
    late = found["lateness_s"]
    yield _target(
        f"fired late at {late['a_second']:,} due a second, p99: s", f"at most {late['tick_s'] + 1:g}", late["p99"],
        late["p99"] <= late["tick_s"] + 1,
    )  # fmt: skip


def _mb(sizes: dict[str, dict[str, float]]) -> float:
    return sizes["clock_deadlines"]["table_mb"] + sizes["clock_deadlines"]["indexes_mb"]


def _target(what: str, target: str, found: float, met: bool) -> dict[str, Any]:
    return {"what": what, "target": target, "found": float(f"{found:.3g}"), "met": bool(met)}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="tiny counts: shows that all works, says nothing of speed")
    parser.add_argument("--running", type=int, default=Sizes.running, help="running deadlines (10000000)")
    parser.add_argument("--settled", type=int, default=Sizes.settled, help="settled deadlines behind them (20000000)")
    parser.add_argument("--due", type=int, default=Sizes.due, help="deadlines that fall due at once (1000000)")
    parser.add_argument("--into", type=Path, help="write scale.json and scale.svg into this folder")
    chosen = parser.parse_args(arguments)
    sizes = SHORT if chosen.short else Sizes(running=chosen.running, settled=chosen.settled, due=chosen.due)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        server = stack.enter_context(PostgresServer({**SETTINGS, **UNSAFE}))
        broker = stack.enter_context(RedisServer())

        def durable() -> None:
            server.settings |= POSTGRESQL
            server.restart()

        places = Places(server.create_database, broker.numbered_url, folder)
        found = measure(places, sizes, lambda line: print(line, flush=True), durable)
    scale_report.show(found, Console())
    for path in scale_report.keep(found, chosen.into) if chosen.into else ():
        print(f"Wrote {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
