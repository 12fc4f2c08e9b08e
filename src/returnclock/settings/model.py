"""What the settings say, once read: frozen values with their defaults. Comes from ``load``; any room may hold one.

Durations stay the text that the operator wrote ("5 minutes"), so that every message shows it as written;
``seconds`` turns one into a number. Addresses that may carry a password are left out of every ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from returnclock.settings.market import MarketSettings


@dataclass(frozen=True)
class PeakSettings:
    """A peak season: each day that ``rule`` (RFC 5545) names begins ``days`` calendar days that add ``adds``."""

    name: str
    rule: str
    days: int
    adds: str


@dataclass(frozen=True)
class CalendarSettings:
    """The market's own calendar, used where an order names no country; ``time_zone`` is the market's IANA zone."""

    country: str = "US"
    subdivision: str | None = None
    time_zone: str = "UTC"
    closures: tuple[date, ...] = ()
    peaks: tuple[PeakSettings, ...] = ()


@dataclass(frozen=True)
class OverrideSettings:
    """Changes of a policy for the rows that match ``when`` (country, subdivision, category, seller)."""

    when: Mapping[str, str]
    values: Mapping[str, object]


@dataclass(frozen=True)
class PolicySettings:
    """What the file says of one kind's policy: the keys that are set, as written. The first matching override wins."""

    values: Mapping[str, object] = field(default_factory=dict)
    overrides: tuple[OverrideSettings, ...] = ()


@dataclass(frozen=True)
class DatabaseSettings:
    """How the database is used: at most ``pool_size`` connections of each process."""

    pool_size: int = 5


@dataclass(frozen=True)
class BrokerSettings:
    """What the addresses of broker and results cannot say. ``key_prefix`` and ``sentinel_…`` are for Redis alone.

    ``sentinel_master`` is the name under which the Sentinels watch the server; ``sentinel_password`` is theirs, while the
    server's own is in the address. With ``sentinel_tls`` they and the server speak TLS. The ``tls_…`` are paths of PEM files.
    """

    key_prefix: str | None = None
    sentinel_master: str = "mymaster"
    sentinel_password: str | None = field(default=None, repr=False)
    sentinel_tls: bool = False
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None


@dataclass(frozen=True)
class MailSettings:
    """How notices leave. ``smtp_url`` None is the local sink; ``digest_at`` is HH:MM in the market's zone.

    ``connections``: how many a round of letters may open to the server at once.
    """

    smtp_url: str | None = field(default=None, repr=False)
    sender: str = "returnclock <returns@localhost>"
    reply_to: str | None = None
    ops: str = "ops@localhost"
    market_name: str = "the marketplace"
    site_url: str | None = None
    digest_at: str = "07:00"
    timeout_s: int = 30
    connections: int = 3
    give_up_after: str = "5 days"


@dataclass(frozen=True)
class TickSettings:
    """How often beat sends each tick. A tick that is missed or doubled is harmless; these set only the promptness."""

    stamp: str = "0.5 seconds"
    sweep: str = "2 seconds"
    remind: str = "5 seconds"
    deliver: str = "2 seconds"
    reconcile: str = "5 minutes"
    audit: str = "1 minute"
    purge: str = "10 minutes"

    def of(self, task: str) -> str:
        """How often a task, as the command writes it, is asked for; all sweeps share one tick."""
        return str(getattr(self, _OWN_TICK.get(task, "sweep")))


_OWN_TICK = {
    "stamp": "stamp",
    "send-reminders": "remind",
    "deliver-mail": "deliver",
    "reconcile": "reconcile",
    "audit": "audit",
    "purge": "purge",
}


@dataclass(frozen=True)
class OpsSettings:
    """What guards parties and operators.

    warning_lead: a party whose warning was not out for so long before the effect is warned first; "none" for nobody.
    burst_a_minute: how many deadlines of one kind may take effect in a minute, None for as many as are due.
    undo_within: for how long an automatic action can be taken back.
    pause_alarm_after: a pause that stands longer is an alarm.
    hold_alarm_after: a hold without an end that stands longer is a warning.
    vacation_days_a_year: how many days of a seller's vacation count in a calendar year.
    start_expected_within: how long after it was expected a missing date is reported.
    """

    warning_lead: str = "24 hours"
    burst_a_minute: int | None = None
    undo_within: str = "14 days"
    pause_alarm_after: str = "1 hour"
    hold_alarm_after: str = "7 days"
    vacation_days_a_year: int = 30
    start_expected_within: str = "14 days"


@dataclass(frozen=True)
class RetentionSettings:
    """How long history stays in the hot tables: runs that changed nothing, other runs, settled deadlines."""

    idle_runs: str = "1 hour"
    runs: str = "30 days"
    settled: str = "400 days"


@dataclass(frozen=True)
class MetricsSettings:
    """Where ``returnclock metrics`` listens, and the token that it asks for; without one it stays on the loopback."""

    listen: str = "127.0.0.1:9464"
    token: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """The address, an IPv6 one without its brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.listen.rpartition(":")[2])


@dataclass(frozen=True)
class Settings:
    """All settings of one deployment; ``source`` is the file that was read, None when there was none."""

    data_folder: Path
    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    result_backend: str = field(repr=False)
    broker_is_local: bool
    policies: Mapping[str, PolicySettings] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    market: MarketSettings = field(default_factory=MarketSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    calendar: CalendarSettings = field(default_factory=CalendarSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    ops: OpsSettings = field(default_factory=OpsSettings)
    ticks: TickSettings = field(default_factory=TickSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    batch_size: int = 1000
    late_limit: str = "5 minutes"
    heartbeat_url: str | None = field(default=None, repr=False)
    sentry_dsn: str | None = field(default=None, repr=False)
    otlp_url: str | None = field(default=None, repr=False)
    reminder_stale_after: str = "6 hours"
    source: Path | None = None
    log_format: Literal["console", "json"] = "console"
