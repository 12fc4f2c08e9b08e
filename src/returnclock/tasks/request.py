"""Has a worker perform one task, and waits for what comes of it. Called by the command; comes in with the app of this room.

The answer comes by Celery's results. Where they fail, or keep nothing, the run's own row in ``clock_runs`` tells the same, and
it alone tells a task that takes long from one that nobody has taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any

from celery.backends.base import DisabledBackend
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from sqlalchemy import RowMapping, func, select
from sqlalchemy.exc import SQLAlchemyError

from returnclock.database import reading
from returnclock.errors import BadUsage, BrokerUnusable, NoWorker, ReturnclockError, RunFailed, StillRunning
from returnclock.settings.urls import LOCAL_BROKERS, redacted
from returnclock.tables.clock import runs
from returnclock.tasks import ACTOR_HEADER, app, wiring
from returnclock.tasks.configuration import HARD_LIMIT_S, celery_name
from returnclock.tasks.wording import reason_of

TAKEN_WITHIN_S = 60
# Nobody works on a task for longer: a worker's child that does is killed.
DONE_WITHIN_S = TAKEN_WITHIN_S + HARD_LIMIT_S + 10
LOOK_EVERY_S = 3.0


def ask_worker(task: str, asked: Mapping[str, Any], actor: str, waits: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Send one task to a worker and return its result object; ``asked`` are the task's arguments.

    waits: called once it is sent.

    Raises:
        BrokerUnusable: nothing was sent.
        NoWorker: it was sent, and nobody took it in time.
        StillRunning: a worker has it in hand for longer than any run should take.
        RunFailed: the worker's run failed with an error that is none of ours.
        ReturnclockError: what the task itself raised.
    """
    if asked.get("dry_run") and isinstance(app.backend, DisabledBackend):
        raise BadUsage(
            reason="a dry run leaves no row in clock_runs, and Celery keeps no results here: run it without --queue."
        )
    newest = _newest_run()
    with _in_silence():
        sent = _send(task, asked, actor)
        try:
            waits()
            return _Answer(task, sent, newest).wait()
        finally:
            _let_go(sent)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Celery and kombu log what they raise, with tracebacks; whoever typed the command is told it once, in a sentence."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _send(task: str, asked: Mapping[str, Any], actor: str) -> AsyncResult:
    try:
        with app.connection_for_write() as connection:
            connection.connect()  # by itself: sending asks the results first, which takes longer to say that nobody is there
        return app.send_task(
            celery_name(task), kwargs=dict(asked), headers={ACTOR_HEADER: actor}, expires=TAKEN_WITHIN_S, retry=False
        )
    except Exception as fault:  # whatever a broker raises
        raise BrokerUnusable(server=_server(fault), reason=reason_of(fault), task=task) from None


def _server(fault: Exception) -> str:
    """Which of the two has failed: before it sends, Celery asks the results to tell it of this one, as often as it may."""
    settings = wiring().settings
    if isinstance(fault, RuntimeError) and fault.__cause__ is not None:
        return f"result backend at {redacted(settings.result_backend)}"
    if settings.broker_url.startswith(LOCAL_BROKERS):
        return f"broker in {settings.data_folder / 'broker'}"
    return f"broker at {redacted(settings.broker_url)}"


def _let_go(sent: AsyncResult) -> None:
    """Stop listening now, while the connection is still whole; Celery would do it when the interpreter is half gone."""
    with suppress(Exception):
        sent.backend.remove_pending_result(sent)
    sent.backend = None


class _Answer:
    """One request that was sent, and what has become of it."""

    def __init__(self, task: str, sent: AsyncResult, newest: int) -> None:
        self._task = task
        self._sent = sent
        self._newest = newest
        self._no_results = ""
        self._run: RowMapping | None = None

    def wait(self) -> dict[str, Any]:
        """Wait for as long as a run may take, once it was taken."""
        begun = monotonic()
        taken = False
        while True:
            found = self._from_results() or self._from_the_row()
            if found is not None:
                return found
            waited = monotonic() - begun
            taken = taken or self._run is not None or (waited >= TAKEN_WITHIN_S and self._is_in_hand())
            if waited >= (DONE_WITHIN_S if taken else TAKEN_WITHIN_S):
                raise self._given_up(taken)

    def _from_results(self) -> dict[str, Any] | None:
        try:
            # Failures come back as they are: raised here, they would look like failures of the asking.
            answer: object = self._sent.get(timeout=LOOK_EVERY_S, propagate=False)
        except NotYet:
            return None
        except Exception as fault:  # whatever a result backend raises; the row is the record
            self._no_results = reason_of(fault)
            sleep(LOOK_EVERY_S / 3)
            return None
        if isinstance(answer, dict):
            return answer
        if isinstance(answer, TaskRevokedError):  # a worker took it from the queue when it had expired already
            raise self._given_up(taken=False)
        if isinstance(answer, ReturnclockError):
            raise answer
        raise RunFailed(task=self._task, reason=_named(answer))

    def _from_the_row(self) -> dict[str, Any] | None:
        chosen = select(runs.c.id, runs.c.state, runs.c.result, runs.c.error)
        chosen = chosen.where(runs.c.id > self._newest, runs.c.task == self._task, runs.c.celery_task_id == self._sent.id)
        try:
            with reading(wiring().engine, within_s=LOOK_EVERY_S) as connection:
                row = connection.execute(chosen).mappings().one_or_none()
        except (ReturnclockError, SQLAlchemyError):
            return None  # the database is away for us; it may be there for the worker
        # What its results will say is told better there; they come at once or not at all.
        ended_before = self._run is not None and self._run["state"] != "running"
        if row is None:
            return None
        self._run = row
        if row["state"] == "running" or not (ended_before or self._no_results):
            return None
        if row["state"] == "failed":
            raise RunFailed(task=self._task, reason=reason_of(row["error"]))
        result: dict[str, Any] = row["result"]
        return result

    def _is_in_hand(self) -> bool:
        """Whether a worker says that it works on it: before its row is there, and for a dry run, which has none."""
        with suppress(Exception):
            for told in (app.control.inspect(timeout=2).query_task(self._sent.id) or {}).values():
                for state, _ in told.values():
                    return bool(state == "active")
        return False

    def _given_up(self, taken: bool) -> ReturnclockError:
        aside = f" Celery's results cannot be read: {self._no_results}." if self._no_results else ""
        if not taken:
            return NoWorker(task=self._task, seconds=TAKEN_WITHIN_S, aside=aside)
        run = f"run {self._run['id']}" if self._run else "a run without a row"
        return StillRunning(task=self._task, run=run, seconds=DONE_WITHIN_S, aside=aside)


def _named(answer: object) -> str:
    """An error of the worker that is none of ours, with its kind: its words alone may say little."""
    reason, kind = reason_of(answer if isinstance(answer, BaseException) else repr(answer)), type(answer).__name__
    return reason if reason.startswith(kind) else f"{kind}: {reason}"


def _newest_run() -> int:
    """The id of the newest run: ours comes after it, so that no look for ours goes through all history."""
    try:
        with reading(wiring().engine, within_s=LOOK_EVERY_S) as connection:
            return connection.execute(select(func.max(runs.c.id))).scalar() or 0
    except (ReturnclockError, SQLAlchemyError):
        return 0
