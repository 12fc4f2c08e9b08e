"""Runs: performs a task and keeps its row in ``clock_runs``, whoever asked for it. Imports jobs and wiring.

Beat, a Celery call by hand and the command all come in here, so that all three leave the same record and return the same
result object.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, insert, select, update

from returnclock import pauses
from returnclock.clock import FrozenClock
from returnclock.database import asked_time, reading, retried, writing
from returnclock.errors import BadUsage, Refused
from returnclock.interventions import standing
from returnclock.jobs import Job, has_work, job_for
from returnclock.ledger import Hand
from returnclock.logbook import log_event
from returnclock.sqlstates import named_reason
from returnclock.tables.clock import runs
from returnclock.tally import Tally
from returnclock.telemetry import in_run
from returnclock.wiring import Wiring
from returnclock.witnesses import Seen, watching

Trigger = Literal["beat", "manual", "cli"]
_log = logging.getLogger(__name__)

# Built once: every tick executes them.
_BEGINNING = insert(runs)
_ENDING = (
    update(runs)
    .where(runs.c.id == bindparam("of_run"))
    .values(finished_at=bindparam("ended_at"), state="succeeded", idle=True, result=bindparam("as_result"))
)

# Seconds after which a run begins no further batch. A tick of beat leaves what is left to the next one: where all of a
# worker's processes work off a backlog, mail and stamping wait behind it for so long and no longer, and each tick that comes
# meanwhile is another worker's share of the backlog. A call by hand ends before the worker would stop it (SOFT_LIMIT_S); the
# command works until nothing is left.
SECONDS: dict[Trigger, float | None] = {"beat": 5.0, "manual": 240.0, "cli": None}


def perform(
    wiring: Wiring,
    task: str,
    *,
    trigger: Trigger,
    actor: str,
    celery_task_id: str | None = None,
    dry_run: bool = False,
    at: datetime | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Run one task here and return its result object; times are ISO 8601 in UTC, durations in seconds.

    A dry run changes nothing and leaves no row; only it may take another time than the database's.

    Raises:
        UnknownTask: there is no such task.
        Refused: it is paused, and a person has asked for it.
        BadUsage: ``at`` without ``dry_run``.
        ReturnclockError: what the task itself raised, after its run was marked failed.
    """
    job = job_for(wiring, task)
    if at is not None and not dry_run:
        raise BadUsage(reason="--at works only with --dry-run: nothing may really happen at another time than now.")
    if limit is not None and limit < 1:
        raise BadUsage(reason=f"a limit must be at least 1, not {limit}.")
    if dry_run:
        return _rehearse(wiring, at, task, trigger, actor, limit)
    if trigger != "beat":
        retried(partial(_refuse_while_paused, wiring, task))
    with watching(wiring.settings, task, trigger) as seen:
        seen.result = retried(partial(_rest, wiring, task, actor, celery_task_id)) if trigger == "beat" else None
        seen.result = seen.result or _recorded(wiring, task, job, trigger, actor, celery_task_id, limit, seen)
        return seen.result


def _recorded(
    wiring: Wiring,
    task: str,
    job: Callable[[Job], Tally],
    trigger: Trigger,
    actor: str,
    celery_task_id: str | None,
    limit: int | None,
    seen: Seen,
) -> dict[str, Any]:
    """Do the task between the two transactions that keep its row; the witnesses are told when the second is committed."""
    begun = perf_counter()
    run_id, now = _begun(wiring, task, trigger, actor, celery_task_id)
    with in_run(run_id, task):
        seen.begins(run_id)
        try:
            tally = job(Job(wiring, Hand(_hand(trigger, actor), run_id), limit, seconds=SECONDS[trigger]))
        except BaseException as fault:
            reason = named_reason(fault)
            retried(lambda: _finish(wiring, run_id, state="failed", error=reason))
            # There the command tells whoever typed it, and whoever types Ctrl-C knows.
            if trigger != "cli" and not isinstance(fault, KeyboardInterrupt):
                log_event(_log, logging.WARNING, "run:failed", f"failed: {reason}")
            raise
        result = _result(task, run_id, trigger, now, tally, perf_counter() - begun)
        idle = not any(result[name] for name in ("examined", "changed", "queued", "problems"))
        retried(lambda: _finish(wiring, run_id, state="succeeded", result=result, idle=idle))
        if not idle:
            log_event(_log, logging.INFO, "run:succeeded", _summary(result), kinds=result["by_kind"], seconds=result["seconds"])
    return result


def _refuse_while_paused(wiring: Wiring, task: str) -> None:
    with reading(wiring.engine) as connection:
        pause = pauses.of(connection, wiring.clock.now(connection), "task", task)
    if pause:
        raise Refused(reason=f'{_said(task, pause)}. End it with "returnclock unpause {task}", or look with --dry-run.')


def _said(task: str, pause: Mapping[str, Any]) -> str:
    return f"{task} is paused since {pause['paused_at']:%Y-%m-%d %H:%M} UTC by {pause['actor']}: {pause['reason']}"


def _rest(wiring: Wiring, task: str, actor: str, celery_task_id: str | None) -> dict[str, Any] | None:
    """The whole of a tick whose task is paused or finds nothing to do, in one short transaction; None where there is work.

    Its row need not outlive a crash of the server by itself: it says that nothing was done. A paused one says so.
    """
    begun = perf_counter()
    with writing(wiring.engine, lasting=False) as connection:
        now = wiring.clock.now(connection)
        stands = standing(connection, now)
        pause = pauses.of(connection, now, "task", task) if stands.paused else None
        if pause is None and has_work(wiring, task, connection, now, stands):
            return None
        run_id = _insert(connection, now, task, "beat", actor, celery_task_id)
        result = _result(task, run_id, "beat", now, Tally(), perf_counter() - begun)
        connection.execute(_ENDING, {"of_run": run_id, "ended_at": now, "as_result": result})
    return result | ({"paused": _said(task, pause)} if pause else {})


def performed(wiring: Wiring, task: str, *, actor: str, act: Callable[[Hand], dict[str, Any]]) -> dict[str, Any]:
    """Do what a command of an operator does, with a row in ``clock_runs`` as for a task; ``act`` returns the result."""
    run_id, _ = _begun(wiring, task, "cli", actor, None)
    try:
        result = act(Hand(actor, run_id)) | {"task": task, "run_id": run_id}
    except BaseException as fault:
        reason = named_reason(fault)
        retried(lambda: _finish(wiring, run_id, state="failed", error=reason))
        raise
    retried(lambda: _finish(wiring, run_id, state="succeeded", result=result, idle=False))
    return result


def _summary(result: dict[str, Any]) -> str:
    """What a run did, in one line of a log; the kinds are named, and nobody else."""
    kinds = ", ".join(f"{kind} {counted.get('changed', 0)}" for kind, counted in result["by_kind"].items())
    done = f"changed {result['changed']} of {result['examined']}, queued {result['queued']}, {result['problems']} problem(s)"
    return f"{done} in {result['seconds']:.2f} s{f' ({kinds})' if kinds else ''}"


def _rehearse(
    wiring: Wiring, at: datetime | None, task: str, trigger: Trigger, actor: str, limit: int | None
) -> dict[str, Any]:
    begun = perf_counter()
    now = retried(partial(asked_time, wiring.engine, wiring.clock))
    wiring = wiring if at is None else wiring.at(FrozenClock(at))
    tally = job_for(wiring, task)(Job(wiring, Hand(actor), limit, dry_run=True, asked_at=now))
    return _result(task, None, trigger, at or now, tally, perf_counter() - begun) | {"dry_run": True}


def _hand(trigger: Trigger, actor: str) -> str:
    """What the ledger calls the actor: the clock when it acts by itself."""
    return "clock" if trigger == "beat" else actor


def _begun(wiring: Wiring, task: str, trigger: str, actor: str, celery_task_id: str | None) -> tuple[int, datetime]:
    """Write the row of a run that begins: one row, though nobody was told that it was committed.

    Another would look for minutes like a run that goes on, and `deliver` begins none beside one that the mail server keeps.

    Returns:
        its id, and when it began.
    """
    tried: list[tuple[int, datetime]] = []

    def begin() -> tuple[int, datetime]:
        with writing(wiring.engine) as connection:
            if tried and _is_there(connection, task, *tried[-1]):
                return tried[-1]
            now = wiring.clock.now(connection)
            tried.append((_insert(connection, now, task, trigger, actor, celery_task_id), now))
            return tried[-1]

    return retried(begin)


def _is_there(connection: Connection, task: str, run_id: int, began: datetime) -> bool:
    # By more than its id, which SQLite gives to another run where this one was rolled back.
    mine = (runs.c.id == run_id, runs.c.task == task, runs.c.host == socket.gethostname(), runs.c.started_at == began)
    return connection.execute(select(runs.c.id).where(*mine)).first() is not None


def _insert(connection: Connection, now: datetime, task: str, trigger: str, actor: str, celery_task_id: str | None) -> int:
    row = {
        "task": task,
        "trigger": trigger,
        "actor": actor,
        "host": socket.gethostname(),
        "celery_task_id": celery_task_id,
        "started_at": now,
        "state": "running",
    }
    inserted = connection.execute(_BEGINNING, row).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def _finish(wiring: Wiring, run_id: int, **values: Any) -> None:
    with writing(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        connection.execute(update(runs).where(runs.c.id == run_id).values(finished_at=now, **values))


def _result(task: str, run_id: int | None, trigger: str, now: datetime, tally: Tally, took: float) -> dict[str, Any]:
    return {
        "task": task,
        "run_id": run_id,
        "trigger": trigger,
        "at": now.isoformat(),
        "examined": tally.total("examined"),
        "changed": tally.total("changed"),
        "queued": tally.total("queued"),
        "skipped": tally.total("skipped"),
        "problems": tally.problems,
        "backlog": tally.backlog,
        "max_lateness_s": round(tally.max_lateness_s, 6),
        "seconds": round(took, 6),
        "by_kind": tally.by_kind(),
    }
