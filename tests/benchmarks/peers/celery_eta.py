"""Celery: a task with an ETA for each deadline, on Redis.

As its documentation has it for many short tasks: results ignored, a large prefetch, a pool of processes each of which gets a
task when it is free, no chatter between workers where there is one. All tasks have reached the worker before they are due, as
tasks with an ETA do. ``python -m`` is the worker.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Any

import celery
import psycopg
import redis
from celery import Celery
from celery.signals import worker_process_init

from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.contest import Contender
from tests.benchmarks.peers import one_deadline
from tests.benchmarks.peers.process import PeerProcess, deadline_ids, seconds_of_firing, wait_for, wait_until_fired
from tests.benchmarks.workload import Workload
from tests.system.crowded_market import present

PROCESSES = 8
PREFETCH = 64  # for each process, as its documentation has it for many short tasks
TASKS_A_SECOND = 500  # how fast the worker takes them in, at the least
HEAD_START = timedelta(seconds=1)

_connections: dict[str, Any] = {}


def make_app(broker: str) -> Celery:
    app = Celery("deadlines", broker=broker, set_as_current=False)
    app.conf.update(task_ignore_result=True, task_acks_late=True, worker_hijack_root_logger=False)
    app.conf.update(worker_prefetch_multiplier=PREFETCH)
    app.task(fire, name="fire")
    return app


def fire(deadline_id: int) -> None:
    one_deadline.fire(_connections["here"], deadline_id)


@worker_process_init.connect
def _connect(**_: Any) -> None:
    _connections["here"] = psycopg.connect(os.environ["BENCHMARK_DATABASE"], autocommit=True)


def contender(workload: Workload, rows: int, warm_up: int, broker: str) -> Contender:
    settings = {
        "version": celery.__version__,
        "pool": f"prefork, {PROCESSES} processes, a connection each",
        "optimization": "fair",
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
    words = ["tests.benchmarks.peers.celery_eta", broker]
    with PeerProcess(words, BENCHMARK_DATABASE=plain_postgres_url(workload.url)) as worker, make_app(broker) as app:
        wait_for(lambda: bool(app.control.ping(timeout=0.2)), [worker])
        # All are due at once, and each process gets its next one when it is free: so each of them does some.
        _schedule(app, workload)
        wait_until_fired(workload, warm_up, [worker])
        workload.restore(rows)
        _schedule(app, workload)
        return seconds_of_firing(workload, rows, [worker])


def _schedule(app: Celery, workload: Workload) -> None:
    """A task for each deadline, all with the ETA at which the last of them is surely there."""
    ids = deadline_ids(workload)
    due = present(workload.engine) + HEAD_START + timedelta(seconds=len(ids) / TASKS_A_SECOND)
    with app.producer_pool.acquire(block=True) as producer:
        for number in ids:
            app.tasks["fire"].apply_async(kwargs={"deadline_id": number}, eta=due, producer=producer)


def main(broker: str) -> None:
    chatter = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    make_app(broker).worker_main(["worker", f"--concurrency={PROCESSES}", *chatter, "-O", "fair", "--loglevel=WARNING"])


if __name__ == "__main__":
    main(sys.argv[1])
