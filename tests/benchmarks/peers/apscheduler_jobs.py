"""APScheduler 3: a job with a date trigger for each deadline, its jobs kept in the same PostgreSQL.

As its documentation has it: the SQLAlchemy store on PostgreSQL, a pool of threads, one scheduler (two must not share a store).
``misfire_grace_time`` is None, or it would drop what an outage made late. ``python -m`` is that scheduler: each line that it is
sent is either a list of deadlines, for which it adds jobs while it pauses, or the word to go on.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import apscheduler
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from psycopg_pool import ConnectionPool
from sqlalchemy import Connection, text

from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.contest import Contender
from tests.benchmarks.peers import one_deadline
from tests.benchmarks.peers.process import PeerProcess, deadline_ids, seconds_of_firing, wait_for, wait_until_fired
from tests.benchmarks.workload import Workload

THREADS = 10
GO = "go"

_pools: dict[str, ConnectionPool] = {}


def contender(workload: Workload, rows: int, warm_up: int) -> Contender:
    settings = {
        "version": apscheduler.__version__,
        "processes": 1,
        "executor": f"{THREADS} threads",
        "pool": f"{THREADS} connections",
        "misfire_grace_time": None,
        "warm_up": f"{warm_up} jobs",
        "task": one_deadline.BODY,
    }
    return Contender("APScheduler 3", rows, lambda: _turn(workload, rows, warm_up), settings)


def _turn(workload: Workload, rows: int, warm_up: int) -> float:
    workload.restore(warm_up)
    with workload.server() as connection:
        connection.execute(text("DROP TABLE IF EXISTS apscheduler_jobs"))
        with PeerProcess(["tests.benchmarks.peers.apscheduler_jobs", workload.url]) as scheduler:
            _let_it_fire(connection, workload, warm_up, scheduler)
            wait_until_fired(workload, warm_up, [scheduler])
            workload.restore(rows)
            _let_it_fire(connection, workload, rows, scheduler)
            return seconds_of_firing(workload, rows, [scheduler])


def _let_it_fire(connection: Connection, workload: Workload, rows: int, scheduler: PeerProcess) -> None:
    """Have a job added for each deadline, and the scheduler go on as soon as all of them are there."""

    def there() -> bool:
        made = connection.execute(text("SELECT to_regclass('apscheduler_jobs')")).scalar_one()
        return bool(made) and connection.execute(text("SELECT count(*) FROM apscheduler_jobs")).scalar_one() == rows

    scheduler.tell(json.dumps(deadline_ids(workload)))
    wait_for(there, [scheduler])
    connection.execute(text("VACUUM ANALYZE apscheduler_jobs"))
    scheduler.tell(GO)


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
    task = "tests.benchmarks.peers.apscheduler_jobs:fire"
    for line in map(str.strip, sys.stdin):
        if line == GO:
            scheduler.resume()
            continue
        scheduler.pause()
        due = datetime.now(UTC)
        for number in json.loads(line):
            words = {"url": plain, "deadline_id": number}
            scheduler.add_job(task, "date", run_date=due, kwargs=words, id=str(number))


if __name__ == "__main__":
    # The store names the task by this module, which is not __main__.
    from tests.benchmarks.peers import apscheduler_jobs

    apscheduler_jobs.main(sys.argv[1])
