"""Metrics: what Prometheus is told, asked of the database at the moment of the scrape. Imports vitals and wiring.

So they are right when every worker is dead, and after this process itself has just started. There is no counter that lives
in memory. Any number of scrapes at once cost one question at a time, and none waits longer than ``PATIENCE_S``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from datetime import UTC, datetime, time, timedelta
from math import inf
from threading import Lock
from time import monotonic

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from returnclock import __version__, health, telemetry, vitals
from returnclock.database import reading
from returnclock.errors import DatabaseUnreachable, ReturnclockError
from returnclock.lateness import BOUNDS, Histogram
from returnclock.schema import require_upgraded
from returnclock.settings import seconds
from returnclock.wiring import Wiring

STATEMENT_S = 4
PATIENCE_S = 8  # below the ten seconds that Prometheus waits by default
FRESH_S = 1  # scrapes that come together share one answer
_log = logging.getLogger(__name__)


class Gauge:
    """One metric that is being filled."""

    def __init__(self, metric: telemetry.Metric) -> None:
        self._labels = metric.labels
        self.family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)

    def add(self, value: float, *labels: str) -> None:
        """Give the value for these labels, which stand in the order of the metric's own."""
        self.family.add_metric(labels, value)


Gauges = dict[telemetry.Metric, Gauge]


class Scrape:
    """One look at the database, in parts: one that fails is reported by its name and leaves the others whole."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._gauges: Gauges = {}
        self._histograms: list[Family] = []
        self._parts: dict[str, Callable[[Connection, datetime], None]] = {
            "deadlines": self._deadlines,
            "warnings": self._warnings,
            "fired": self._fired,
            "pauses": self._pauses,
            "holds": self._holds,
            "tasks": self._tasks,
            "changes": self._changes,
            "outbox": self._outbox,
            "problems": self._problems,
        }

    def families(self) -> list[Family]:
        """Ask everything that there is to ask."""
        begun = monotonic()
        self._set(telemetry.BUILD, 1, __version__)
        self._calendars()
        up = True
        for name, part in self._parts.items():
            try:
                if up:
                    self._ask(part)
            except DatabaseUnreachable as fault:
                _log.warning("metrics: %s", fault)
                up = False
            except Exception as fault:  # whatever it is, the other parts are worth telling
                _log.warning("metrics: %s cannot be read: %s", name, fault)
                self._set(telemetry.SCRAPE_OK, 0, name)
                continue
            self._set(telemetry.SCRAPE_OK, int(up), name)
        self._set(telemetry.UP, int(up))
        self._set(telemetry.SCRAPE_SECONDS, monotonic() - begun)
        return [*(gauge.family for gauge in self._gauges.values()), *self._histograms]

    def _ask(self, part: Callable[[Connection, datetime], None]) -> None:
        # A transaction each: PostgreSQL answers nothing more in one of which a statement failed.
        with reading(self._wiring.engine, within_s=STATEMENT_S) as connection:
            part(connection, self._wiring.clock.now(connection))

    def _set(self, metric: telemetry.Metric, value: float, *labels: str) -> None:
        self._gauges.setdefault(metric, Gauge(metric)).add(value, *labels)

    def _deadlines(self, connection: Connection, now: datetime) -> None:
        for kind in self._wiring.rulebook.active():
            late = vitals.overdue(connection, kind, now)
            self._set(telemetry.DUE, late.count, kind.name)
            self._set(telemetry.OLDEST, late.oldest_s, kind.name)
            self._set(telemetry.LATE_LIMIT, self._wiring.late_limit(kind.name), kind.name)
            self._set(telemetry.DUE_SOON, vitals.falling_due(connection, kind, now, now + timedelta(hours=1)), kind.name)
            self._set(telemetry.HELD, vitals.held(connection, kind), kind.name)

    def _fired(self, connection: Connection, now: datetime) -> None:
        """From the sums that the database keeps: purging history lessens neither of them, so both may be counters."""
        events = {kind.name: kind.event for kind in self._wiring.kinds}
        fired = CounterMetricFamily(telemetry.FIRED.name, telemetry.FIRED.help, labels=telemetry.FIRED.labels)
        lag = HistogramMetricFamily(telemetry.FIRE_LAG.name, telemetry.FIRE_LAG.help, labels=telemetry.FIRE_LAG.labels)
        told = health.lateness_histogram(connection)
        for kind in sorted({*(kind.name for kind in self._wiring.rulebook.active()), *told}):
            found = told.get(kind) or Histogram(BOUNDS, (0,) * len(BOUNDS), 0.0)
            buckets = [(str(le) if le != inf else "+Inf", n) for le, n in zip(found.bounds, found.cumulative, strict=True)]
            fired.add_metric((kind, events.get(kind, "unknown")), found.count)
            lag.add_metric((kind,), buckets, found.sum_s)
        self._histograms += [fired, lag]

    def _pauses(self, connection: Connection, now: datetime) -> None:
        self._gauges[telemetry.PAUSED] = Gauge(telemetry.PAUSED)  # named even when there is none
        limit = seconds(self._wiring.settings.ops.pause_alarm_after)
        self._set(telemetry.PAUSE_LIMIT, limit)
        longest: dict[tuple[str, str], float] = {}
        for pause in health.standing_pauses(connection, self._wiring.rulebook, now):
            rests = (pause["what"], pause["name"])
            longest[rests] = max(pause["for_s"], longest.get(rests, 0.0))
        for (what, name), age_s in sorted(longest.items()):
            self._set(telemetry.PAUSED, age_s, what, name)

    def _holds(self, connection: Connection, now: datetime) -> None:
        # Without a label: holds of single rows are as many as operators order.
        self._set(telemetry.HOLD_LIMIT, seconds(self._wiring.settings.ops.hold_alarm_after))
        self._set(telemetry.HOLD_OLDEST, vitals.oldest_hold(connection, now))

    def _warnings(self, connection: Connection, now: datetime) -> None:
        for kind in self._wiring.rulebook.active():
            if vitals.warns(kind):
                self._set(telemetry.UNWARNED, vitals.unwarned(connection, kind, now), kind.name)

    def _tasks(self, connection: Connection, now: datetime) -> None:
        for task in self._wiring.tasks:
            told = vitals.task(connection, task)
            self._set(telemetry.SUCCEEDED, told.succeeded_at.timestamp() if told.succeeded_at else 0, task)
            self._set(telemetry.INTERVAL, seconds(self._wiring.settings.ticks.of(task)), task)
            self._set(telemetry.FAILING, int(told.failing), task)
            if told.seconds is not None:
                self._set(telemetry.TOOK, told.seconds, task)

    def _changes(self, connection: Connection, now: datetime) -> None:
        waiting = vitals.unstamped(connection, now)
        self._set(telemetry.CHANGES, waiting.count)
        self._set(telemetry.CHANGES_OLDEST, waiting.oldest_s)

    def _outbox(self, connection: Connection, now: datetime) -> None:
        waiting = vitals.waiting_notices(connection, now)
        for notice in sorted({"reminder", "outcome", "digest", *waiting}):
            backlog = waiting.get(notice, vitals.Backlog())
            self._set(telemetry.PENDING, backlog.count, notice)
            self._set(telemetry.PENDING_OLDEST, backlog.oldest_s, notice)
        self._set(telemetry.UNTRIED, vitals.untried_for(connection, now))
        self._set(telemetry.DEAD, vitals.dead_notices(connection))

    def _problems(self, connection: Connection, now: datetime) -> None:
        self._gauges[telemetry.PROBLEMS] = Gauge(telemetry.PROBLEMS)  # named even when there is none
        for code, number in sorted(vitals.open_problems(connection).items()):
            self._set(telemetry.PROBLEMS, number, code)

    def _calendars(self) -> None:
        for name, last_day in vitals.calendars(self._wiring.rulebook).items():
            end = datetime.combine(last_day + timedelta(days=1), time(), UTC)
            self._set(telemetry.CALENDAR, end.timestamp(), name)


class DatabaseCollector(Collector):
    """Scrapes when it is asked, one at a time; those who come meanwhile wait for the same answer."""

    def __init__(self, wiring: Wiring, patience_s: float = PATIENCE_S) -> None:
        self._wiring = wiring
        self._patience_s = patience_s
        self._lock = Lock()
        self._one = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scrape")
        self._under_way: Future[list[Family]] | None = None
        self._answered_at = 0.0

    def collect(self) -> Iterable[Family]:
        """The answer of the scrape that is under way, of one that has just ended, or of a new one."""
        asked = self._ask()
        try:
            return asked.result(self._patience_s)
        except TookTooLong:
            _log.warning("metrics: the database did not answer within %g s", self._patience_s)
            return list(_unanswered())

    def _ask(self) -> Future[list[Family]]:
        with self._lock:
            ended = self._under_way is None or self._under_way.done()
            if self._under_way is None or (ended and monotonic() - self._answered_at > FRESH_S):
                self._under_way = self._one.submit(self._scrape)
            return self._under_way

    def _scrape(self) -> list[Family]:
        try:
            return Scrape(self._wiring).families()
        finally:
            self._answered_at = monotonic()


def _unanswered() -> Iterator[Family]:
    for metric, labels in ((telemetry.BUILD, (__version__,)), (telemetry.UP, ())):
        gauge = Gauge(metric)
        gauge.add(0 if metric is telemetry.UP else 1, *labels)
        yield gauge.family


class Exposition:
    """The text that Prometheus reads, and whether this process is of any use."""

    def __init__(self, wiring: Wiring, patience_s: float = PATIENCE_S) -> None:
        self._wiring = wiring
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(DatabaseCollector(wiring, patience_s))

    def text(self) -> bytes:
        """The metrics in Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)

    def unready(self) -> str | None:
        """Why nothing can be told now; None when all is well."""
        try:
            require_upgraded(self._wiring.engine)
        except (ReturnclockError, SQLAlchemyError) as fault:
            return telemetry.masked(str(fault))
        return None
