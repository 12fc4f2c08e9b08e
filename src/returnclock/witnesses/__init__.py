"""Witnesses: those outside who are told of each run: the heartbeat, Sentry, OpenTelemetry. Imports heartbeat and settings.

Each is off unless it is configured, is told outside of every transaction and after the run's row is committed, and can
neither stop nor fail a run. Sentry and OpenTelemetry come with extras (``returnclock[sentry]``, ``returnclock[otel]``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic

from returnclock.heartbeat import ping
from returnclock.settings import Settings, seconds
from returnclock.sqlstates import named_reason
from returnclock.witnesses.base import Seen, Witness

__all__ = ["Seen", "Witness", "watching"]

_log = logging.getLogger(__name__)
HEARTBEAT_TASK = "audit"


class Heartbeat:
    """Tells the dead man's switch of each audit."""

    def __init__(self, url: str) -> None:
        self._url = url

    def begins(self, seen: Seen) -> None:
        """The run has an id, and begins."""
        if seen.task == HEARTBEAT_TASK:
            ping(self._url, "start", seen.run_id)

    def ended(self, seen: Seen) -> None:
        """The run has ended, and its row says how."""
        if seen.task == HEARTBEAT_TASK:
            reason = named_reason(seen.fault) if seen.fault else ""
            ping(self._url, "fail" if seen.fault else "success", seen.run_id, reason)


@contextmanager
def watching(settings: Settings, task: str, trigger: str) -> Iterator[Seen]:
    """Let the witnesses see one run: whoever runs it calls ``begins`` when it has an id, and sets its result."""
    witnesses = _witnesses(settings.heartbeat_url, settings.sentry_dsn, settings.otlp_url)
    seen = Seen(task, trigger, seconds(settings.ticks.of(task)), witnesses)
    begun = monotonic()
    try:
        yield seen
    except BaseException as fault:
        seen.fault = fault
        raise
    finally:
        seen.seconds = monotonic() - begun
        if not seen.rests:  # the silence is what tells a dead man's switch
            seen.ended()


@cache
def _witnesses(heartbeat_url: str | None, sentry_dsn: str | None, otlp_url: str | None) -> tuple[Witness, ...]:
    """Those that are configured; an extra that is not installed is said once, and the runs go on."""
    found: list[Witness] = [Heartbeat(heartbeat_url)] if heartbeat_url else []
    try:
        if sentry_dsn:
            from returnclock.witnesses.sentry import SentryWitness

            found.append(SentryWitness.to(sentry_dsn))
        if otlp_url:
            from returnclock.witnesses.otel import OtelWitness

            found.append(OtelWitness.to(otlp_url))
    except ImportError as fault:
        _log.error("%s; install it: pip install 'returnclock[sentry,otel]'", fault)
    return tuple(found)
