"""Measures returnclock beside bare SQL, beside what a shop would use instead, and what it costs the front end.

``python -m tests.benchmarks.compare [--short] [--into FOLDER]`` starts servers of its own and takes some minutes; ``--short``
shows in seconds that everything runs, with counts too small to say how fast. Contenders take turns, A B A B.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import create_engine

import returnclock
from tests.benchmarks import delivering, front_end, report, stamping, sweeping
from tests.benchmarks.bare import BY_JOIN, BY_KEYS, BareSweep
from tests.benchmarks.bare_stamp import BareStamp
from tests.benchmarks.colleague import colleague_of
from tests.benchmarks.contest import Contender, Standing, contest
from tests.benchmarks.peers import apscheduler_jobs, celery_eta, orm_loop, procrastinate_jobs
from tests.benchmarks.workload import Workload
from tests.servers import MariaDBServer, PostgresServer, RedisServer

# What a market runs with: a commit that was answered survives a power cut. These are the servers' own defaults, which the
# tests' servers turn off for speed; a sweep pays for one such commit a batch, a job for each deadline pays for one each.
POSTGRESQL = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
MARIADB = {
    "innodb-flush-log-at-trx-commit": "1",
    "innodb-flush-method": "O_DIRECT",
    "innodb-buffer-pool-size": "256M",
}
# As returnclock opens it, and so every contender: a power cut may take the last commits back, and leaves the file sound.
SQLITE = {"journal_mode": "WAL", "synchronous": "NORMAL"}

ONE_JOB_EACH = ("Celery ETA on Redis", "Procrastinate", "APScheduler 3")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """Rows of one turn of each work, and how many turns; enough that a turn takes a second or so."""

    rounds: int = 5
    swept: int = 20_000
    peer_rounds: int = 3
    beside_peers: int = 10_000  # of each, ours too; the slowest takes half a minute for them
    warm_up: int = 200  # jobs that each peer does before those that count
    inserting_rounds: int = 9
    stamped: int = 20_000
    inserted_in_bulk: int = 20_000
    inserted_singly: int = 1_500
    letters: int = 600


SHORT = Sizes(
    rounds=1,
    swept=60,
    peer_rounds=1,
    inserting_rounds=1,
    beside_peers=20,
    warm_up=8,
    stamped=40,
    inserted_in_bulk=600,
    inserted_singly=20,
    letters=20,
)


@dataclass(frozen=True)
class Places:
    """Where the contenders work; a database can be had as often as wanted."""

    postgresql: Callable[[], str]
    mariadb: Callable[[], str]
    sqlite: Callable[[], str]
    redis_url: str
    folder: Path


@dataclass
class Comparison:
    """The works that were done so far: work -> contender -> how it stands."""

    places: Places
    sizes: Sizes
    say: Say
    works: dict[str, dict[str, Standing]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def take_place(self) -> None:
        """Let all contenders work. Raises WrongOutcome if one did not do its work."""
        databases = {"PostgreSQL": self.places.postgresql, "SQLite": self.places.sqlite, "MariaDB": self.places.mariadb}
        sizes = self.sizes
        for name, create in databases.items():
            workload = Workload(create(), self.places.folder, max(sizes.swept, sizes.stamped, sizes.beside_peers))
            self.versions[name] = _version(workload.url)
            self.sweep_and_stamp(name, workload)
            if name == "PostgreSQL":
                self.beside_peers(workload)
                self.deliver(workload)
            workload.dispose()
            self.front_end(name, create)

    def sweep_and_stamp(self, name: str, workload: Workload) -> None:
        sizes = self.sizes
        with ExitStack() as stack:
            sweepers = [sweeping.returnclock(workload, sizes.swept)]
            for way in (BY_JOIN, BY_KEYS) if name == "PostgreSQL" else (BY_JOIN,):
                bare = stack.enter_context(closing(BareSweep(workload.url, way)))
                sweepers.append(sweeping.bare_sql(workload, sizes.swept, bare))
            self._turns(f"sweep, {name}", sweepers, sizes.rounds)
        with closing(BareStamp(workload)) as ready, colleague_of(workload, self.places.folder) as colleague:
            stampers = [stamping.returnclock(workload, sizes.stamped), stamping.bare_sql(workload, sizes.stamped, ready)]
            if name != "SQLite":  # which has one writer at a time
                stampers.append(stamping.in_two_processes(workload, sizes.stamped, colleague))
            self._turns(f"stamp, {name}", stampers, sizes.rounds)

    def beside_peers(self, workload: Workload) -> None:
        sizes = self.sizes
        with colleague_of(workload, self.places.folder) as colleague:
            contenders = [
                sweeping.in_two_processes(workload, sizes.beside_peers, colleague),
                sweeping.returnclock(workload, sizes.beside_peers),
                celery_eta.contender(workload, sizes.beside_peers, sizes.warm_up, self.places.redis_url),
                procrastinate_jobs.contender(workload, sizes.beside_peers, sizes.warm_up),
                apscheduler_jobs.contender(workload, sizes.beside_peers, sizes.warm_up),
                orm_loop.commit_each(workload, sizes.beside_peers),
                orm_loop.commit_once(workload, sizes.beside_peers),
            ]
            self._turns(report.PEERS, contenders, sizes.peer_rounds)

    def deliver(self, workload: Workload) -> None:
        for work in delivering.SERVERS:
            with delivering.DiscardingMailServer(work) as server:
                self._turns(work, delivering.delivering(workload, self.sizes.letters, server), self.sizes.rounds)

    def front_end(self, name: str, create: Callable[[], str]) -> None:
        sizes = self.sizes
        shops = [front_end.Shop(create(), with_triggers=with_triggers) for with_triggers in (True, False)]
        ways = {"in bulk": (sizes.inserted_in_bulk, front_end.ROWS_A_STATEMENT), "one by one": (sizes.inserted_singly, 1)}
        for table in ("orders", "disputes"):
            for way, (rows, a_statement) in ways.items():
                contenders = front_end.inserting(shops, table, rows, a_statement)
                self._turns(f"front end's {table} {way}, {name}", contenders, sizes.inserting_rounds)

    def _turns(self, work: str, contenders: list[Contender], rounds: int) -> None:
        self.say(work)
        self.works[work] = contest(contenders, rounds, self.say)

    def as_json(self) -> dict[str, Any]:
        """What was found, with all that is needed to judge it."""
        return {
            "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
            "versions": {"returnclock": returnclock.__version__, **self.versions},
            "durability": {"PostgreSQL": POSTGRESQL, "MariaDB": MARIADB, "SQLite": SQLITE},
            "sizes": asdict(self.sizes),
            "targets": list(targets(self.works)),
            "works": {
                work: {name: standing.as_json() for name, standing in standings.items()}
                for work, standings in self.works.items()
            },
        }


def compare(places: Places, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Let all contenders work; returns what was found, ready for JSON. Raises WrongOutcome if one did not do its work."""
    comparison = Comparison(places, sizes, say)
    comparison.take_place()
    return comparison.as_json()


def _version(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.dialect.server_version_info or ()
    engine.dispose()
    return ".".join(str(part) for part in found)


def targets(works: dict[str, dict[str, Standing]]) -> Iterator[dict[str, Any]]:
    """Each promise with what was found."""
    for work, standings in works.items():
        ours, *others = standings.values()
        if work.startswith("sweep") or work.startswith("deliver"):
            # Where there are two ways to do it bare, the faster one is what a database can do.
            bare = max((one for one in others if one.name.startswith("bare")), key=lambda standing: standing.rate)
            for one in (ours, *(other for other in others if not other.name.startswith("bare"))):
                ratio = one.times(bare)
                yield _target(f"{work}{_way(one)}: times {bare.name}", "at least 0.8", ratio, ratio >= 0.8)
        elif work.startswith("stamp"):
            for one in (ours, *others[1:]):  # the other is bare SQL, which is no stamp of ours
                yield _target(f"{work}{_way(one)}: rows a second", "at least 50,000", one.rate, one.rate >= 50_000)
        elif work.startswith("front end"):
            slower = 100 * (others[0].times(ours) - 1)
            yield _target(f"{work}: slower by %", "at most 15", slower, slower <= 15)
        elif work == report.PEERS:
            best = max((standings[name] for name in ONE_JOB_EACH), key=lambda standing: standing.rate)
            ratio = ours.times(best)
            what = f"sweep, two processes: times the best with a job for each deadline, {best.name}"
            yield _target(what, "at least 40", ratio, ratio >= 40)


def _way(ours: Standing) -> str:
    """In which way a contender of ours did it, where that was not the usual one: ", two processes"."""
    return ours.name.removeprefix("returnclock")


def _target(what: str, target: str, found: float, met: bool) -> dict[str, Any]:
    return {"what": what, "target": target, "found": float(f"{found:.3g}"), "met": bool(met)}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="tiny counts: shows that all runs, says nothing of speed")
    parser.add_argument("--into", type=Path, help="write bench.json and bench.svg into this folder")
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgresql = stack.enter_context(PostgresServer(POSTGRESQL))
        mariadb = stack.enter_context(MariaDBServer(MARIADB))
        redis_server = stack.enter_context(RedisServer())
        places = Places(postgresql.create_database, mariadb.create_database, sqlite_in(folder), redis_server.url, folder)
        found = compare(places, SHORT if chosen.short else Sizes(), lambda line: print(line, flush=True))
    report.show(found, Console())
    for path in report.keep(found, chosen.into) if chosen.into else ():
        print(f"Wrote {path}")


def sqlite_in(folder: Path) -> Callable[[], str]:
    """Gives the URL of another file in the folder each time."""
    numbers = iter(range(1, 1_000))
    return lambda: f"sqlite:///{folder}/market-{next(numbers)}.db"


if __name__ == "__main__":
    main(sys.argv[1:])
