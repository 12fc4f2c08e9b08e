"""What each task does: its name, and the verb that it calls with what wiring composed. Imports wiring and the verbs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from difflib import get_close_matches
from functools import partial

from returnclock import deliver, health, remind, stamp, sweep
from returnclock.calendars import zone
from returnclock.database import reading
from returnclock.errors import DeadlinesLate, UnknownTask
from returnclock.hands import Post
from returnclock.heartbeat import ping
from returnclock.kinds import DeadlineKind
from returnclock.ledger import Hand
from returnclock.localtime import later_instant
from returnclock.purge import purge
from returnclock.reconcile import reconcile, would_reconcile
from returnclock.settings import seconds
from returnclock.tally import Tally
from returnclock.wiring import Wiring


@dataclass(frozen=True)
class Job:
    """One run's means: what wiring composed, whose hand acts, how many rows at most, and whether anything may change."""

    wiring: Wiring
    hand: Hand
    limit: int | None = None
    dry_run: bool = False


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


def has_work(wiring: Wiring, task: str) -> bool:
    """Whether a task would find anything to do; always true of those that cannot tell without doing it.

    An idle tick is then one read and one row: it takes no lock that a front end could wait for.
    """
    engine, clock = wiring.engine, wiring.clock
    swept = wiring.rulebook.tasks()
    if task in swept:
        return sweep.has_work(engine, clock, swept[task])
    if task == "stamp":
        return stamp.has_work(engine)
    if task == "send-reminders":
        return remind.has_work(engine, clock, wiring.rulebook.active())
    return task != "deliver-mail" or deliver.has_work(engine, clock)


def _sweep(job: Job, kinds: Sequence[DeadlineKind]) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return sweep.would_sweep(wiring.engine, wiring.clock, kinds, limit=job.limit)
    return sweep.sweep(
        wiring.engine,
        wiring.clock,
        kinds,
        job.hand,
        limit=job.limit,
        batch_size=wiring.settings.batch_size,
        digest_at=partial(next_digest, wiring),
    )


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
    size = wiring.settings.batch_size
    return stamp.stamp(wiring.engine, wiring.clock, wiring.rulebook, job.hand, limit=job.limit, batch_size=size)


def _send_reminders(job: Job) -> Tally:
    wiring = job.wiring
    kinds = wiring.rulebook.active()
    stale_after = timedelta(seconds=seconds(wiring.settings.reminder_stale_after))
    if job.dry_run:
        return remind.would_remind(wiring.engine, wiring.clock, kinds, stale_after, limit=job.limit)
    size = wiring.settings.batch_size
    return remind.send_reminders(wiring.engine, wiring.clock, kinds, job.hand, stale_after, limit=job.limit, batch_size=size)


def _deliver_mail(job: Job) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return deliver.would_deliver(wiring.engine, wiring.clock, limit=job.limit)
    # One name for each run: two runs in one process must not take each other's lease for their own.
    worker = f"{socket.gethostname()}:{os.getpid()}:{job.hand.run_id}"
    mail = wiring.settings.mail
    post = Post(wiring.engine, wiring.clock, wiring.rulebook, wiring.mailer, mail, job.hand, worker)
    return deliver.deliver(post, limit=job.limit)


def _reconcile(job: Job) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return would_reconcile(wiring.engine, wiring.rulebook)
    size = wiring.settings.batch_size
    return reconcile(wiring.engine, wiring.clock, wiring.rulebook, job.hand, limit=job.limit, batch_size=size)


def _audit(job: Job) -> Tally:
    """Raise when any deadline is later than ``late_limit``; else tell the heartbeat that all is well."""
    wiring = job.wiring
    tally = Tally()
    with reading(wiring.engine) as connection:
        now = wiring.clock.now(connection)
        late = health.overdue(connection, wiring.rulebook, now)
        tally.problems = health.open_problems(connection)
    for found in late:
        counted = tally.of(found["kind"])
        counted.examined, counted.max_lateness_s = found["count"], found["oldest_s"]
        tally.backlog += found["count"]
    too_late = tally.max_lateness_s > seconds(wiring.settings.late_limit)
    if not job.dry_run:
        ping(wiring.settings.heartbeat_url, failed=too_late)
    if too_late:
        worst = max(late, key=lambda found: float(found["oldest_s"]))
        raise DeadlinesLate(
            count=tally.backlog, kind=worst["kind"], late=timedelta(seconds=round(worst["oldest_s"])),
            limit=wiring.settings.late_limit,
        )  # fmt: skip
    return tally


def _purge(job: Job) -> Tally:
    wiring = job.wiring
    if job.dry_run:
        return Tally()
    retention = wiring.settings.retention
    return purge(wiring.engine, wiring.clock, wiring.rulebook, retention, limit=job.limit)


_SUPPORT: dict[str, Callable[[Job], Tally]] = {
    "stamp": _stamp,
    "send-reminders": _send_reminders,
    "deliver-mail": _deliver_mail,
    "reconcile": _reconcile,
    "audit": _audit,
    "purge": _purge,
}
