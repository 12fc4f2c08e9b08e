"""What each task does: its name, and the verb that it calls with what wiring composed. Imports wiring and the verbs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from difflib import get_close_matches
from functools import partial
from typing import Any

from sqlalchemy import Connection

from returnclock import deliver, health, remind, stamp, sweep
from returnclock.calendars import zone
from returnclock.database import reading, retried
from returnclock.errors import DeadlinesLate, StillPaused, UnknownTask
from returnclock.hands import Post
from returnclock.interventions import Standing
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.localtime import later_instant
from returnclock.ops.targets import Desk
from returnclock.ops.unfinished import carry_out, unfinished
from returnclock.purge import purge
from returnclock.reconcile import reconcile, would_reconcile
from returnclock.settings import seconds
from returnclock.tally import Tally
from returnclock.wiring import Wiring


@dataclass(frozen=True)
class Job:
    """One run's means: what wiring composed, whose hand acts, and whether anything may change.

    limit: how many rows at most. seconds: after how long it begins no further batch and leaves the rest to the next tick.
    asked_at: of a dry run, when it was asked for; the wiring's clock may stand at another time.
    """

    wiring: Wiring
    hand: Hand
    limit: int | None = None
    dry_run: bool = False
    seconds: float | None = None
    asked_at: datetime | None = None


def job_for(wiring: Wiring, task: str) -> Callable[[Job], Tally]:
    """The function that does a task; a task that there is not is refused, never queued.

    Raises:
        UnknownTask: there is none; the message names the nearest.
    """
    swept = wiring.rulebook.tasks()
    if task in swept:
        return partial(_sweep, kinds=swept[task])
    if task in _SUPPORT:
        return _SUPPORT[task]
    close = get_close_matches(task, wiring.tasks, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise UnknownTask(task=task, hint=hint, known=", ".join(wiring.tasks))


def has_work(wiring: Wiring, task: str, connection: Connection, now: datetime, stands: Standing) -> bool:
    """Whether a task would find anything to do; always true of those that cannot tell without doing it.

    It takes no lock that a front end could wait for. stands: what `interventions.standing` says.
    """
    swept = wiring.rulebook.tasks()
    if task in swept:
        return any(unfinished(connection, now, stands)) or sweep.has_work(connection, now, swept[task])
    if task == "stamp":
        return stamp.has_work(connection)
    if task == "send-reminders":
        return remind.has_work(connection, now, wiring.rulebook.active())
    return task != "deliver-mail" or deliver.has_work(connection, now)


def _sweep(job: Job, kinds: Sequence[DeadlineKind]) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        guards = wiring.rulebook.guards
        return sweep.would_sweep(wiring.engine, wiring.clock, kinds, limit=job.limit, guards=guards, asked_at=job.asked_at)
    desk = Desk(wiring.engine, wiring.clock, wiring.rulebook, job.hand, "what was ordered is carried out")
    faults = carry_out(desk)
    tally = sweep.sweep(
        wiring.engine,
        wiring.clock,
        kinds,
        job.hand,
        limit=job.limit,
        batch_size=wiring.settings.batch_size,
        digest_at=partial(next_digest, wiring),
        seconds=job.seconds,
        guards=wiring.rulebook.guards,
        is_heeded=wiring.rulebook.is_heeded,
    )
    if faults:
        raise faults[0]
    return tally


def next_digest(wiring: Wiring, now: datetime) -> datetime:
    """The next hour of the digest (``mail.digest_at``, in the market's zone) after ``now``."""
    local = zone(wiring.rulebook.market_zone)
    hour = time.fromisoformat(wiring.settings.mail.digest_at)
    today = datetime.combine(now.astimezone(local).date(), hour)
    first = later_instant(today, local)
    return first if first > now else later_instant(today + timedelta(days=1), local)


def _stamp(job: Job) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return stamp.would_stamp(wiring.engine)
    return stamp.stamp(
        wiring.engine,
        wiring.clock,
        wiring.rulebook,
        job.hand,
        limit=job.limit,
        batch_size=wiring.settings.batch_size,
        seconds=job.seconds,
    )


def _send_reminders(job: Job) -> Tally:
    wiring = job.wiring
    kinds = wiring.rulebook.active()
    stale_after = timedelta(seconds=seconds(wiring.settings.reminder_stale_after))
    if job.dry_run:
        return remind.would_remind(wiring.engine, wiring.clock, kinds, stale_after, limit=job.limit)
    return remind.send_reminders(
        wiring.engine,
        wiring.clock,
        kinds,
        job.hand,
        stale_after,
        limit=job.limit,
        batch_size=wiring.settings.batch_size,
        seconds=job.seconds,
    )


def _deliver_mail(job: Job) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return deliver.would_deliver(wiring.engine, wiring.clock, limit=job.limit)
    # One name for each run: two runs in one process must not take each other's lease for their own.
    worker = f"{socket.gethostname()}:{os.getpid()}:{job.hand.run_id}"
    mail = wiring.settings.mail
    post = Post(wiring.engine, wiring.clock, wiring.rulebook, wiring.mailer, mail, job.hand, worker)
    return deliver.deliver(post, limit=job.limit, seconds=job.seconds)


def _reconcile(job: Job) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return would_reconcile(wiring.engine, wiring.rulebook)
    return reconcile(
        wiring.engine,
        wiring.clock,
        wiring.rulebook,
        job.hand,
        limit=job.limit,
        batch_size=wiring.settings.batch_size,
        seconds=job.seconds,
    )


def _audit(job: Job) -> Tally:
    """Raise when any deadline is later than its limit: its kind's own, or ``late_limit``.

    Whoever listens to the heartbeat is told by `witnesses`, when the run's row is committed.
    """
    wiring = job.wiring
    tally = Tally()
    resting, late, tally.problems = retried(partial(_state, wiring))
    for found in late:
        counted = tally.of(found["kind"])
        counted.examined, counted.max_lateness_s = found["count"], found["oldest_s"]
        tally.backlog += found["count"]
    too_late = [found for found in late if found["oldest_s"] > wiring.late_limit(found["kind"])]
    paused = [pause for pause in resting if pause["too_long"]]
    if too_late:
        worst = max(too_late, key=lambda found: float(found["oldest_s"]))
        raise DeadlinesLate(
            count=sum(found["count"] for found in too_late), kind=worst["kind"],
            late=timedelta(seconds=round(worst["oldest_s"])),
            limit=timedelta(seconds=wiring.late_limit(worst["kind"])),
        )  # fmt: skip
    if paused:
        since = f"{paused[0]['paused_at']:%Y-%m-%d %H:%M} UTC"
        names = {name: paused[0][name] for name in ("name", "actor", "reason")}
        raise StillPaused(**names, since=since, limit=wiring.settings.ops.pause_alarm_after)
    return tally


def _state(wiring: Wiring) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]], int]:
    """The pauses that stand, what is due of the kinds that do not rest, and how many rows have problems."""
    with reading(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        resting = health.standing_pauses(connection, wiring.rulebook, now)
        rest = health.at_rest(resting, wiring.rulebook)
        late = [found for found in health.overdue(connection, wiring.rulebook, now) if found["kind"] not in rest]
        return resting, late, health.open_problems(connection)


def _purge(job: Job) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return Tally()
    retention = wiring.settings.retention
    return purge(wiring.engine, wiring.clock, wiring.rulebook, retention, limit=job.limit, seconds_left=job.seconds)


_SUPPORT: dict[str, Callable[[Job], Tally]] = {
    "stamp": _stamp,
    "send-reminders": _send_reminders,
    "deliver-mail": _deliver_mail,
    "reconcile": _reconcile,
    "audit": _audit,
    "purge": _purge,
}
