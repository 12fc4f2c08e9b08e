"""APScheduler 3: a job with a date trigger for each deadline, its jobs kept in the same PostgreSQL.

As its documentation has it: the SQLAlchemy store on PostgreSQL, a pool of threads, one scheduler (two must not share a store).
``misfire_grace_time`` is None, or it would drop what an outage made late. ``python -m`` is that scheduler.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import apscheduler
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from psycopg_pool import ConnectionPool
from sqlalchemy import text

from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.contest import Contender
from tests.benchmarks.peers import one_deadline
from tests.benchmarks.peers.process import PeerProcess, deadline_ids, seconds_of_firing, wait_for
from tests.benchmarks.workload import Workload

THREADS = 10

_pools: dict[str, ConnectionPool] = {}


def contender(workload: Workload, rows: int) -> Contender:
    settings = {
        "version": apscheduler.__version__,
        "processes": 1,
        "executor": f"{THREADS} threads",
        "pool": f"{THREADS} connections",
        "misfire_grace_time": None,
        "task": one_deadline.BODY,
    }
    return Contender("APScheduler 3", rows, lambda: _turn(workload, rows), settings)


def _turn(workload: Workload, rows: int) -> float:
    workload.restore(rows)
    with workload.server() as connection:
        connection.execute(text("DROP TABLE IF EXISTS apscheduler_jobs"))
        with PeerProcess(["tests.benchmarks.peers.apscheduler_jobs", workload.url]) as scheduler:
            assert scheduler.process.stdin is not None
            scheduler.process.stdin.write(json.dumps(deadline_ids(workload)) + "\n")
            scheduler.process.stdin.flush()

            def ready() -> bool:
                there = connection.execute(text("SELECT to_regclass('apscheduler_jobs')")).scalar_one()
                return bool(there) and connection.execute(text("SELECT count(*) FROM apscheduler_jobs")).scalar_one() == rows

            wait_for(ready, [scheduler])
            scheduler.process.stdin.write("go\n")
            scheduler.process.stdin.flush()
            return seconds_of_firing(workload, rows, [scheduler])


def fire(url: str, deadline_id: int) -> None:
    with _pools[url].connection() as connection:
        one_deadline.fire(connection, deadline_id)


def main(url: str) -> None:
    plain = plain_postgres_url(url)
    _pools[plain] = ConnectionPool(plain, min_size=THREADS, max_size=THREADS, kwargs={"autocommit": True}, open=True)
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=url)},
        executors={"default": ThreadPoolExecutor(THREADS)},
        job_defaults={"misfire_grace_time": None},
        timezone=UTC,
    )
    scheduler.start(paused=True)
    due = datetime.now(UTC)
    for number in json.loads(sys.stdin.readline()):
        words = {"url": plain, "deadline_id": number}
        scheduler.add_job("tests.benchmarks.peers.apscheduler_jobs:fire", "date", run_date=due, kwargs=words, id=str(number))
    sys.stdin.readline()
    scheduler.resume()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    # The store names the task by this module, which is not __main__.
    from tests.benchmarks.peers import apscheduler_jobs

    apscheduler_jobs.main(sys.argv[1])
