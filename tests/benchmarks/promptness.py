"""Measures how long after a front end's commit the due date of a new row can be read, with a real worker and beat.

``python -m tests.benchmarks.promptness [--stamp "0.5 seconds"] [--inserts N]``

On PostgreSQL with Redis, and on the embedded default. Beside the waits it says what worker and beat cost while nothing
happens (seconds of processor time in a second). Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import text

from returnclock.database import reading, writing
from tests.servers import PostgresServer, RedisServer
from tests.system.deployment import Deployment

IDLE_S = 20.0
DUE = text("SELECT 1 FROM clock_due WHERE table_name = 'disputes' AND subject_id = :id")


def waits(market: Deployment, inserts: int) -> Iterator[float]:
    """Seconds from each commit until the date was there; commits come at no set distance from the ticks."""
    chance = random.Random(4)
    for number in range(1, inserts + 1):
        time.sleep(chance.uniform(0.2, 1.5))
        with writing(market.engine) as connection:
            connection.execute(text("INSERT INTO orders (id) VALUES (:id)"), {"id": number})
            connection.execute(text("INSERT INTO disputes (id, order_id) VALUES (:id, :id)"), {"id": number})
        begun = time.monotonic()
        while True:
            with reading(market.engine) as connection:
                if connection.execute(DUE, {"id": str(number)}).first():
                    break
            time.sleep(0.005)
        yield time.monotonic() - begun


def processor_s(folder: Path) -> float:
    """Processor time of every process that works in the folder."""
    spent = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                spent += (int(fields[11]) + int(fields[12])) / 100
        except OSError:
            continue
    return spent


def measure(folder: Path, url: str, inserts: int, **environ: str) -> str:
    """One deployment: the waits in order of size, and the cost of idling."""
    market = Deployment(folder, url, **environ)
    with market.running():
        time.sleep(2)
        before = processor_s(folder)
        time.sleep(IDLE_S)
        idle = (processor_s(folder) - before) / IDLE_S
        found = sorted(waits(market, inserts))
    p50, p95 = (found[min(int(len(found) * share), len(found) - 1)] for share in (0.5, 0.95))
    return f"p50 {p50:.2f} s, p95 {p95:.2f} s, longest {found[-1]:.2f} s; idle {idle:.3f} s of processor a second"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamp", default="", help="the tick of stamp; without it the default")
    parser.add_argument("--inserts", type=int, default=20)
    wanted = parser.parse_args(arguments)
    environ = {"RETURNCLOCK_TICKS_STAMP": wanted.stamp} if wanted.stamp else {}
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve() for _ in range(2)]
        postgres, redis = stack.enter_context(PostgresServer()), stack.enter_context(RedisServer())
        on_servers = measure(folders[0], postgres.create_database(), wanted.inserts, REDIS_URL=redis.url, **environ)
        print("PostgreSQL, Redis:", on_servers, flush=True)
        embedded = measure(folders[1], f"sqlite:///{folders[1] / 'market.db'}", wanted.inserts, **environ)
        print("Embedded default:", embedded, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
