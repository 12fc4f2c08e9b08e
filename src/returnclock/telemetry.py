"""Names of every ledger event, metric and field of a log line, in one place.

A name that is written here is a promise to everybody who follows ``clock_events``, scrapes ``/metrics`` or collects logs: it
is added, never renamed. What may never be written into a log is taken out here too. Imports nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Event(StrEnum):
    """What happened to a deadline, its subject or its notices; the column ``clock_events.event``.

    A kind of a shop's own may name other events; these are the ones that returnclock itself writes.
    """

    STAMPED = "deadline:stamped"
    REOPENED = "deadline:reopened"
    RESTAMPED = "deadline:restamped"
    MET = "deadline:met"
    VOIDED = "deadline:voided"
    HELD = "deadline:held"
    RESUMED = "deadline:resumed"
    EXTENDED = "deadline:extended"
    POSTPONED = "deadline:postponed"
    SPARED = "deadline:spared"
    UNDONE = "deadline:undone"
    REVERTED = "deadline:reverted"
    REMINDER_QUEUED = "reminder:queued"
    REMINDER_SKIPPED = "reminder:skipped"
    NOTICE_SENT = "notice:sent"
    NOTICE_DEFERRED = "notice:deferred"
    NOTICE_DEAD = "notice:dead"
    NOTICE_SUPPRESSED = "notice:suppressed"
    NOTICE_AMBIGUOUS = "notice:ambiguous"
    NOTICE_REQUEUED = "notice:requeued"
    HOLD_ORDERED = "hold:ordered"
    HOLD_ENDED = "hold:ended"
    PAUSED = "pause:begun"
    UNPAUSED = "pause:ended"
    VACATION_ANNOUNCED = "vacation:announced"
    VACATION_REMOVED = "vacation:removed"


LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"

_in_run: ContextVar[dict[str, Any] | None] = ContextVar("returnclock_run", default=None)


@contextmanager
def in_run(run_id: int | None, task: str) -> Iterator[None]:
    """Mark every log line that is written meanwhile with the run and its task."""
    token = _in_run.set({"run": run_id, "task": task})
    try:
        yield
    finally:
        _in_run.reset(token)


def run_fields() -> dict[str, Any]:
    """The fields ``run`` and ``task`` of a log line; empty outside of any run."""
    return dict(_in_run.get() or {})


_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:=@]+@[^\s<>()\[\]\"',;:/@]+")
_IN_SERVER = re.compile(r"(?<=://)(?P<user>[^\s:/@]*)(?P<password>:[^\s/@]+)?@")
# As a word of an address after its "?", or of a driver's own text. All up to the next word goes, quotes and brackets too.
_SECRET_WORD = re.compile(r"(?i)(\b[\w-]*(?:password|passwd|passphrase|pwd|secret|token)[\w-]*=)(?:'[^']*'|\"[^\"]*\"|[^\s&]+)")
# PostgreSQL quotes the whole row that broke a constraint.
_QUOTED_ROW = re.compile(r"^(DETAIL|CONTEXT):.*$", re.MULTILINE)


def masked(text: str) -> str:
    """A text without e-mail addresses, passwords and tokens in addresses of servers, and rows that a database quotes."""
    without = _SECRET_WORD.sub(r"\1***", _QUOTED_ROW.sub(r"\1: (left out)", text))
    # A server's address keeps its user and host; all else with an @ in it is somebody's.
    without = _IN_SERVER.sub(lambda found: f"{found['user']}{':***' if found['password'] else ''}\0", without)
    return _ADDRESS.sub("(address)", without).replace("\0", "@")


@dataclass(frozen=True)
class Metric:
    """A metric as Prometheus reads it. No label may grow with orders or people: kinds, tasks and codes are written in code."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


UP = Metric("returnclock_up", "Whether the database answered this scrape (1) or not (0).")
BUILD = Metric("returnclock_build_info", "The version that serves these metrics; always 1.", ("version",))
SCRAPE_OK = Metric("returnclock_scrape_success", "Whether this part of the scrape worked (1) or failed (0).", ("part",))
SCRAPE_SECONDS = Metric("returnclock_scrape_duration_seconds", "How long the database was asked for this scrape.")
DUE = Metric("returnclock_deadlines_due", "Deadlines that are due and not yet enforced, counted up to 10,000.", ("kind",))
OLDEST = Metric(
    "returnclock_oldest_overdue_seconds", "How long the oldest due deadline has waited; 0 when none waits.", ("kind",)
)
LATE_LIMIT = Metric("returnclock_late_limit_seconds", "How long a due deadline may wait before it is an alarm.", ("kind",))
DUE_SOON = Metric("returnclock_deadlines_due_soon", "Deadlines that fall due within the hour, counted up to 10,000.", ("kind",))
FIRED = Metric("returnclock_deadlines_fired", "Deadlines that took effect, by what then happened.", ("kind", "outcome"))
FIRE_LAG = Metric("returnclock_fire_lag_seconds", "How long after its due moment each deadline took effect.", ("kind",))
PAUSED = Metric("returnclock_paused_seconds", "For how long a task or kind has been paused.", ("what", "name"))
PAUSE_LIMIT = Metric("returnclock_pause_limit_seconds", "How long a pause may stand before it is an alarm.")
HELD = Metric("returnclock_deadlines_held", "Deadlines that are held, counted up to 10,000.", ("kind",))
HOLD_OLDEST = Metric(
    "returnclock_holds_oldest_seconds", "How long the oldest hold in force that has no end has stood; 0 when there is none."
)
HOLD_LIMIT = Metric("returnclock_hold_limit_seconds", "How long a hold without an end may stand before it is a warning.")
UNWARNED = Metric(
    "returnclock_warnings_undelivered",
    "Deadlines with a consequence that fall due within 24 hours although no warning was delivered, up to 10,000.",
    ("kind",),
)
CHANGES = Metric("returnclock_changes_waiting", "Changes of the market that wait to be stamped, counted up to 10,000.")
CHANGES_OLDEST = Metric("returnclock_changes_oldest_seconds", "How long the oldest of these changes has waited.")
SUCCEEDED = Metric(
    "returnclock_task_last_success_timestamp_seconds",
    "When the task last succeeded, in Unix time; 0 when no success is remembered.",
    ("task",),
)
INTERVAL = Metric("returnclock_task_interval_seconds", "How often the task is expected to run.", ("task",))
FAILING = Metric("returnclock_task_failing", "Whether the newest run of the task that ended has failed (1).", ("task",))
TOOK = Metric("returnclock_task_last_duration_seconds", "How long the task's last successful run took.", ("task",))
PENDING = Metric("returnclock_outbox_pending", "Notices that wait to be sent, counted up to 10,000 in all.", ("notice",))
PENDING_OLDEST = Metric(
    "returnclock_outbox_oldest_pending_seconds", "How long ago the oldest notice that waits was queued.", ("notice",)
)
UNTRIED = Metric("returnclock_outbox_untried_seconds", "How long a notice has been ready to be sent and nobody has tried.")
DEAD = Metric("returnclock_outbox_dead", "Notices that were given up, counted up to 10,000.")
PROBLEMS = Metric("returnclock_problems", "Rows that are set aside or fell back, by what is wrong, up to 10,000.", ("code",))
CALENDAR = Metric(
    "returnclock_calendar_valid_until_timestamp_seconds",
    "Until when the public holidays of the calendar are known, in Unix time.",
    ("calendar",),
)
