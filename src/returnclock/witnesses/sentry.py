"""Sentry: a check-in for each task of beat, and an event for each failure. Needs the extra ``sentry``.

Sentry's own patch of Celery's beat would send a check-in each second for a task that ticks each second, and it does not know
our scheduler. A monitor of Sentry counts minutes, so one check-in a minute of each task and process is what it gets.
"""

from __future__ import annotations

from math import ceil
from time import monotonic
from typing import Any

import sentry_sdk
from sentry_sdk.crons import MonitorStatus, capture_checkin

from returnclock import __version__
from returnclock.telemetry import masked
from returnclock.witnesses.base import Seen

SELDOM_S = 60


class SentryWitness:
    """Tells Sentry of runs; of each task at most once in a minute that all is well, and once that it is not."""

    def __init__(self) -> None:
        self._told_at: dict[tuple[str, bool], float] = {}

    @classmethod
    def to(cls, dsn: str, **options: Any) -> SentryWitness:
        """Prepare Sentry's client of this process. ``options`` are of ``sentry_sdk.init``, such as a transport."""
        sentry_sdk.init(
            dsn,
            release=f"returnclock@{__version__}",
            # Variables of a failed batch are rows of the market; requests and log lines of others are no business of ours.
            include_local_variables=False,
            default_integrations=False,
            max_breadcrumbs=0,
            before_send=_without_data,
            **options,
        )
        return cls()

    def begins(self, seen: Seen) -> None:
        """Nothing: a check-in at the end says as much, and a worker that dies is missed."""

    def ended(self, seen: Seen) -> None:
        """Check in for beat's tasks; send what went wrong."""
        well = seen.fault is None
        if not self._is_time(seen.task, well):
            return
        if seen.fault is not None:
            with sentry_sdk.new_scope() as scope:
                scope.set_tags({"task": seen.task, "trigger": seen.trigger, "run": str(seen.run_id)})
                scope.capture_exception(seen.fault)
        if seen.trigger == "beat":
            capture_checkin(
                monitor_slug=f"returnclock-{seen.task}",
                status=MonitorStatus.OK if well else MonitorStatus.ERROR,
                duration=seen.seconds,
                monitor_config=_monitor(seen.every),
            )

    def _is_time(self, task: str, well: bool) -> bool:
        now = monotonic()
        if now - self._told_at.get((task, well), -SELDOM_S) < SELDOM_S:
            return False
        self._told_at[task, well] = now
        return True


def _monitor(every_s: float) -> Any:
    minutes = max(1, ceil(every_s / 60))
    return {
        "schedule": {"type": "interval", "value": minutes, "unit": "minute"},
        # Two missed intervals, as the alert rules of Prometheus have it.
        "checkin_margin": 2 * minutes,
        "max_runtime": 10,
        "failure_issue_threshold": 1,
        "recovery_threshold": 1,
        "timezone": "UTC",
    }


def _without_data(event: Any, _hint: Any) -> Any:
    return _masked(event)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {name: _masked(part) for name, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, list) else value
