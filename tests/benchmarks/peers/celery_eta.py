"""Celery: a task with an ETA for each deadline, on Redis.

As its documentation has it for many short tasks that wait for a database: results ignored, a large prefetch, a pool of threads,
a worker for each core, no chatter between workers. Of what was tried (one worker with eight or sixteen processes, with eight or
twenty threads, two workers with eight threads each) this was the fastest. All tasks have reached a worker before they are due,
as tasks with an ETA do. ``python -m`` is one worker.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from datetime import timedelta

import celery
import psycopg
import redis
from celery import Celery

from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.contest import Contender
from tests.benchmarks.peers import one_deadline
from tests.benchmarks.peers.process import PeerProcess, deadline_ids, seconds_of_firing, wait_for, wait_until_fired
from tests.benchmarks.workload import Workload
from tests.system.crowded_market import present

WORKERS = ("one", "two")
THREADS = 8
PREFETCH = 64  # for each thread, as its documentation has it for many short tasks
TASKS_A_SECOND = 500  # how fast the workers take them in, at the least
HEAD_START = timedelta(seconds=1)

_here = threading.local()


def make_app(broker: str) -> Celery:
    app = Celery("deadlines", broker=broker, set_as_current=False)
    app.conf.update(task_ignore_result=True, task_acks_late=True, worker_hijack_root_logger=False)
    app.conf.update(worker_prefetch_multiplier=PREFETCH)
    app.task(fire, name="fire")
    return app


def fire(deadline_id: int) -> None:
    if not hasattr(_here, "connection"):
        _here.connection = psycopg.connect(os.environ["BENCHMARK_DATABASE"], autocommit=True)
    one_deadline.fire(_here.connection, deadline_id)


def contender(workload: Workload, rows: int, warm_up: int, broker: str) -> Contender:
    settings = {
        "version": celery.__version__,
        "workers": len(WORKERS),
        "pool": f"{THREADS} threads in each worker, a connection each",
        "worker_prefetch_multiplier": PREFETCH,
        "task_ignore_result": True,
        "task_acks_late": True,
        "warm_up": f"{warm_up} jobs",
        "task": one_deadline.BODY,
    }
    return Contender("Celery ETA on Redis", rows, lambda: _turn(workload, rows, warm_up, broker), settings)


def _turn(workload: Workload, rows: int, warm_up: int, broker: str) -> float:
    workload.restore(warm_up)
    with redis.Redis.from_url(broker) as client:
        client.flushdb()
    url = plain_postgres_url(workload.url)
    with ExitStack() as stack:
        app = stack.enter_context(make_app(broker))
        words = [["tests.benchmarks.peers.celery_eta", broker, name] for name in WORKERS]
        workers = [stack.enter_context(PeerProcess(each, BENCHMARK_DATABASE=url)) for each in words]
        wait_for(lambda: len(app.control.ping(timeout=0.2)) == len(WORKERS), workers)
        # All are due at once, and each thread gets its next one when it is free: so each of them does some.
        _schedule(app, workload)
        wait_until_fired(workload, warm_up, workers)
        workload.restore(rows)
        _schedule(app, workload)
        return seconds_of_firing(workload, rows, workers)


def _schedule(app: Celery, workload: Workload) -> None:
    """A task for each deadline, all with the ETA at which the last of them is surely there."""
    ids = deadline_ids(workload)
    due = present(workload.engine) + HEAD_START + timedelta(seconds=len(ids) / TASKS_A_SECOND)
    with app.producer_pool.acquire(block=True) as producer:
        for number in ids:
            app.tasks["fire"].apply_async(kwargs={"deadline_id": number}, eta=due, producer=producer)


def main(broker: str, name: str) -> None:
    chatter = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    pool = ["--pool=threads", f"--concurrency={THREADS}", f"--hostname={name}@%h"]
    make_app(broker).worker_main(["worker", *pool, *chatter, "--loglevel=WARNING"])


if __name__ == "__main__":
    main(*sys.argv[1:])
