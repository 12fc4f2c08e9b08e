"""Procrastinate: a scheduled job for each deadline, its jobs kept in the same PostgreSQL.

As its documentation has it: an asynchronous task, deferred in one batch with ``schedule_at``; several jobs at once in each of
several worker processes; a pool with a connection for each job that runs. ``python -m`` is one worker.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import procrastinate
import psycopg
from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.contest import Contender
from tests.benchmarks.peers.one_deadline import BODY, fire_async
from tests.benchmarks.peers.process import PeerProcess, deadline_ids, seconds_of_firing, wait_for
from tests.benchmarks.workload import Workload
from tests.system.crowded_market import present

PROCESSES = 2
CONCURRENCY = 10
LATE = timedelta(minutes=1)


def contender(workload: Workload, rows: int) -> Contender:
    url = plain_postgres_url(workload.url)
    settings = {
        "version": procrastinate.__version__,
        "processes": PROCESSES,
        "concurrency": f"{CONCURRENCY} jobs in each process",
        "pool": f"{CONCURRENCY + 1} connections for its jobs' rows and {CONCURRENCY} for the task, in each process",
        "delete_jobs": "successful",
        "task": f"asynchronous, {BODY}",
    }
    return Contender("Procrastinate", rows, lambda: _turn(workload, url, rows), settings)


def _turn(workload: Workload, url: str, rows: int) -> float:
    workload.restore(rows)
    app, task = _app(url)
    with psycopg.connect(url, autocommit=True) as connection, ExitStack() as stack:
        connection.execute("DROP SCHEMA IF EXISTS jobs CASCADE")
        connection.execute("CREATE SCHEMA jobs")
        with app.open():
            app.schema_manager.apply_schema()
            words = ["tests.benchmarks.peers.procrastinate_jobs", url]
            workers = [stack.enter_context(PeerProcess(words)) for _ in range(PROCESSES)]

            def ready() -> bool:
                row = connection.execute("SELECT count(*) FROM jobs.procrastinate_workers").fetchone()
                return row is not None and row[0] == PROCESSES

            wait_for(ready, workers)
            due = present(workload.engine) - LATE
            task.configure(schedule_at=due).batch_defer(*({"deadline_id": number} for number in deadline_ids(workload)))
            return seconds_of_firing(workload, rows, workers)


def _app(url: str) -> tuple[App, Any]:
    # A schema of its own, as its documentation advises where it shares a database.
    connector = PsycopgConnector(
        conninfo=url, kwargs={"options": "-c search_path=jobs"}, min_size=CONCURRENCY + 1, max_size=CONCURRENCY + 1
    )
    app = App(connector=connector)
    pool = AsyncConnectionPool(url, min_size=CONCURRENCY, max_size=CONCURRENCY, kwargs={"autocommit": True}, open=False)

    @app.task(name="fire", pass_context=False)
    async def fire(deadline_id: int) -> None:
        await pool.open()
        async with pool.connection() as connection:
            await fire_async(connection, deadline_id)

    return app, fire


def main(url: str) -> None:
    app, _ = _app(url)
    app.run_worker(concurrency=CONCURRENCY, delete_jobs="successful")


if __name__ == "__main__":
    main(sys.argv[1])
