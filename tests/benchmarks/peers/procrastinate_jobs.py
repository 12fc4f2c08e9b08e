"""Procrastinate: a scheduled job for each deadline, its jobs kept in the same PostgreSQL.

As its documentation has it: an asynchronous task, deferred in one batch with ``schedule_at``; several jobs at once in each of
several worker processes; a pool with a connection for each job that runs. ``python -m`` is one worker. The task has a pool of
its own, which is opened before the worker runs and handed to each job in its context.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import procrastinate
import psycopg
from procrastinate import App, JobContext, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.contest import Contender
from tests.benchmarks.peers.one_deadline import BODY, fire_async
from tests.benchmarks.peers.process import PeerProcess, deadline_ids, seconds_of_firing, wait_for, wait_until_fired
from tests.benchmarks.workload import Workload
from tests.system.crowded_market import present

PROCESSES = 2
CONCURRENCY = 10
LATE = timedelta(minutes=1)
SCHEMA = "-c search_path=jobs"  # a schema of its own, as its documentation advises where it shares a database


def contender(workload: Workload, rows: int, warm_up: int) -> Contender:
    url = plain_postgres_url(workload.url)
    settings = {
        "version": procrastinate.__version__,
        "processes": PROCESSES,
        "concurrency": f"{CONCURRENCY} jobs in each process",
        "pool": f"{CONCURRENCY + 1} connections for its jobs' rows and {CONCURRENCY} for the task, in each process",
        "listen_notify": True,
        "delete_jobs": "successful",
        "warm_up": f"{warm_up} jobs",
        "task": f"asynchronous, {BODY}",
    }
    return Contender("Procrastinate", rows, lambda: _turn(workload, url, rows, warm_up), settings)


def _turn(workload: Workload, url: str, rows: int, warm_up: int) -> float:
    workload.restore(warm_up)
    app, task = _app(url)
    with psycopg.connect(url, autocommit=True, options=SCHEMA) as connection, ExitStack() as stack:
        connection.execute("DROP SCHEMA IF EXISTS jobs CASCADE")
        connection.execute("CREATE SCHEMA jobs")
        stack.enter_context(app.open())
        app.schema_manager.apply_schema()
        words = ["tests.benchmarks.peers.procrastinate_jobs", url]
        workers = [stack.enter_context(PeerProcess(words)) for _ in range(PROCESSES)]
        wait_for(lambda: _count(connection, "procrastinate_workers") == PROCESSES, workers)
        _schedule(connection, task, workload)
        wait_until_fired(workload, warm_up, workers)
        wait_for(lambda: not _count(connection, "procrastinate_jobs"), workers)
        connection.execute("VACUUM procrastinate_jobs, procrastinate_events")
        workload.restore(rows)
        _schedule(connection, task, workload)
        return seconds_of_firing(workload, rows, workers)


def _schedule(connection: psycopg.Connection[Any], task: Any, workload: Workload) -> None:
    """A job for each deadline; the workers see all of them at once, and the database has its statistics by then."""
    due, ids = present(workload.engine) - LATE, deadline_ids(workload)
    with connection.transaction():
        task.configure(schedule_at=due, connection=connection).batch_defer(*({"deadline_id": number} for number in ids))
        connection.execute("ANALYZE procrastinate_jobs, procrastinate_events")


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _app(url: str) -> tuple[App, Any]:
    connector = PsycopgConnector(conninfo=url, kwargs={"options": SCHEMA}, min_size=CONCURRENCY + 1, max_size=CONCURRENCY + 1)
    app = App(connector=connector)

    @app.task(name="fire", pass_context=True)
    async def fire(context: JobContext, deadline_id: int) -> None:
        async with context.additional_context["pool"].connection() as connection:
            await fire_async(connection, deadline_id)

    return app, fire


async def work(url: str) -> None:
    """Be a worker until a signal ends it."""
    app, _ = _app(url)
    pool = AsyncConnectionPool(url, min_size=CONCURRENCY, max_size=CONCURRENCY, kwargs={"autocommit": True}, open=False)
    async with pool, app.open_async():
        await pool.wait()
        await app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="successful", additional_context={"pool": pool})


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
