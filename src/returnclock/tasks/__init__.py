"""The Celery app: ``celery -A returnclock.tasks worker``. Its tasks call the same function as the command.

Importing this touches neither the network nor the database nor the settings. They are read when Celery first asks for
its configuration or its tasks; settings that do not hold end the process then, before it takes a single message.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NoReturn

import click
from celery import Celery, Task, signals

from returnclock.errors import BadInstant, BadUsage, DatabaseUnreachable, ReturnclockError
from returnclock.printable import one_line
from returnclock.runs import Trigger, perform
from returnclock.schema import require_upgraded
from returnclock.tables.types import Unreadable, read_instant
from returnclock.tasks import logs
from returnclock.tasks.configuration import celery_name, celery_settings
from returnclock.tasks.failures import kept_small
from returnclock.tasks.stopping import finished_first
from returnclock.wiring import Wiring, wire

logger = logging.getLogger(__name__)

# A caller may name the person behind a run: ``apply_async(headers={"returnclock_actor": "maria"})``.
ACTOR_HEADER = "returnclock_actor"

app = Celery("returnclock", task_cls="returnclock.tasks.arrivals:Task")


@cache
def wiring() -> Wiring:
    """This process's wiring, made when it is first needed. Settings that do not hold end the process (exit code 2)."""
    try:
        return wire()
    except ReturnclockError as fault:
        _end(fault)


def _end(fault: ReturnclockError) -> NoReturn:
    # SystemExit, because Celery logs an exception that is raised while it configures itself, and goes on without it.
    click.echo(str(fault), err=True)
    raise SystemExit(fault.exit_code)


app.add_defaults(lambda: celery_settings(wiring().settings, wiring().tasks))


@app.on_after_finalize.connect
def _add_tasks(sender: Celery, **_: Any) -> None:
    for task in wiring().tasks:
        _add_task(sender, task)


def _add_task(celery: Celery, task: str) -> None:
    # A failure that has a name of ours is told in one sentence; any other comes with its traceback.
    @celery.task(name=celery_name(task), bind=True, throws=(ReturnclockError,))
    def run(self: Task, limit: int | None = None, dry_run: bool = False, at: str | None = None) -> dict[str, Any]:
        trigger, actor = caller(self.request)
        with finished_first(), kept_small():
            require_arguments(limit, dry_run, at)
            return perform(
                wiring(),
                task,
                trigger=trigger,
                actor=actor,
                celery_task_id=self.request.id,
                dry_run=dry_run,
                at=_moment(at),
                limit=limit,
            )


def require_arguments(limit: Any, dry_run: Any, at: Any) -> None:
    """Insist on the types of what a message asks for: a word in the place of a truth value would mean its contrary.

    Raises:
        BadUsage: one of them is of another type.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise BadUsage(reason=f"limit must be a whole number or null, not {limit!r:.60}.")
    if not isinstance(dry_run, bool):
        raise BadUsage(reason=f"dry_run must be true or false, not {dry_run!r:.60}.")
    if at is not None and not isinstance(at, str):
        raise BadUsage(reason=f"at must be a text such as 2026-11-27T17:40:00Z or null, not {at!r:.60}.")


def _moment(at: str | None) -> datetime | None:
    moment = read_instant(at)
    if isinstance(moment, Unreadable):
        raise BadInstant(text=at)
    return moment


def caller(request: Any) -> tuple[Trigger, str]:
    """The trigger and the actor of a message: beat, which marks what it sends, or somebody by hand.

    An argument of the task would do as a mark too, but it would be for everybody to set and show in every monitor.
    """
    headers = request.headers or {}
    if headers.get("celery_beat_task"):
        return "beat", "beat"
    named = str(headers.get(ACTOR_HEADER) or request.origin or "unknown")
    return "manual", one_line(named)  # JSON may hold halves of letters, which no database takes


@signals.task_failure.connect
def _tell_failure(sender: Task, exception: BaseException, **_: Any) -> None:
    if isinstance(exception, ReturnclockError):
        logger.error("%s failed: %s", sender.name, exception)


@signals.worker_process_init.connect
def _open_own_connections(**_: Any) -> None:
    # A connection that parent and child share garbles both. The parent's stay open: they are the parent's to close.
    wiring().engine.dispose(close=False)
    # What is loaded by now stays: a collector that walks all of it again and again took an eighth of a stamp's own time.
    gc.freeze()


def run_worker(arguments: Sequence[str] = ()) -> int:
    """Run a worker until it is told to stop; ``arguments`` are those of ``celery worker``. Returns its exit code."""
    logs.to_file_and_stderr(wiring().settings, "worker")
    _insist_on_schema()
    # Neighbours are no business of a worker here: two that know nothing of each other do no harm, and start sooner.
    return _start("worker", "--without-gossip", "--without-mingle", *arguments)


def _insist_on_schema() -> None:
    """Refuse to start on a database that was never upgraded. One that is only away is no reason: it comes back.

    Raises:
        SchemaBehind: the database must be upgraded first.
    """
    try:
        require_upgraded(wiring().engine)
    except DatabaseUnreachable as fault:
        logger.warning("%s", fault)
    finally:
        wiring().engine.dispose()  # no connection may be shared with the processes that Celery forks


def run_beat(arguments: Sequence[str] = ()) -> int:
    """Run beat until it is told to stop; ``arguments`` are those of ``celery beat``. Returns its exit code."""
    logs.to_file_and_stderr(wiring().settings, "beat")
    return _start("beat", *arguments)


def _start(program: str, *arguments: str) -> int:
    # As `app.start` does it, which keeps the exit code to itself: a worker that could not go on would end with 0.
    from celery.bin.celery import celery

    celery.params[0].default = app
    return int(celery.main(args=["--quiet", program, *arguments], standalone_mode=False) or 0)
