"""Every setting there is, in one table: its section, its name, its reader and the variables that set it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from returnclock.settings import urls, values
from returnclock.settings.values import Reader

PREFIX = "RETURNCLOCK_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
DEBUG_VARIABLE = PREFIX + "DEBUG"  # of the command alone: it shows the traceback of what nobody foresaw


@dataclass(frozen=True)
class Key:
    """One setting. ``section`` "" is the top of the file; a ``many`` is a list in the file, commas in a variable.

    Of ``variables`` the first that is set wins. A ``secret`` is also read from files and never quoted in a fault.
    """

    section: str
    name: str
    read: Reader
    variables: tuple[str, ...]
    many: bool = False
    secret: bool = False
    in_file: bool = True

    @property
    def is_number(self) -> bool:
        """Whether the value in the file is a bare number."""
        numbers = (values.batch_size, values.timeout, values.pool_size, values.mail_connections)
        return self.read in (*numbers, values.burst, values.season_days)


def _key(section: str, name: str, read: Reader, *, many: bool = False, secret: bool = False) -> Key:
    return Key(section, name, read, (PREFIX + f"{section}_{name}".strip("_").upper(),), many, secret)


KEYS: tuple[Key, ...] = (
    Key("", "data_folder", values.text, (PREFIX + "DATA",)),
    _key("", "kinds", values.dotted_name, many=True),
    _key("", "batch_size", values.batch_size),
    _key("", "late_limit", values.duration),
    _key("", "reminder_stale_after", values.duration),
    _key("", "heartbeat_url", values.site, secret=True),
    _key("", "log_format", values.log_format),
    _key("", "sentry_dsn", values.site, secret=True),
    _key("", "otlp_url", values.site, secret=True),
    Key("database", "url", urls.database, (PREFIX + "DATABASE_URL", "DATABASE_URL"), secret=True),
    _key("database", "pool_size", values.pool_size),
    # One Redis for broker and results, which is how hosts hand it out; a file names the two apart.
    Key("", "redis_url", urls.redis, (PREFIX + "REDIS_URL", "REDIS_URL"), secret=True, in_file=False),
    Key("broker", "url", urls.broker, (PREFIX + "BROKER_URL",), secret=True),
    Key("broker", "result_backend", urls.results, (PREFIX + "RESULT_BACKEND",), secret=True),
    _key("broker", "key_prefix", values.key_prefix),
    _key("broker", "sentinel_master", values.text),
    _key("broker", "sentinel_password", values.text, secret=True),
    _key("broker", "sentinel_tls", values.switch),
    *(_key("broker", name, values.file) for name in ("tls_ca", "tls_certificate", "tls_key")),
    _key("calendar", "country", values.text),
    _key("calendar", "subdivision", values.text),
    _key("calendar", "time_zone", values.text),
    _key("calendar", "closures", values.day, many=True),
    _key("mail", "smtp_url", urls.smtp, secret=True),
    _key("mail", "sender", values.mailbox),
    _key("mail", "reply_to", values.mailbox),
    _key("mail", "ops", values.mailbox),
    _key("mail", "market_name", values.text),
    _key("mail", "site_url", values.site),
    _key("mail", "digest_at", values.time_of_day),
    _key("mail", "timeout_s", values.timeout),
    _key("mail", "connections", values.mail_connections),
    _key("mail", "give_up_after", values.duration),
    *(_key("ticks", name, values.duration) for name in ("stamp", "sweep", "remind", "deliver", "reconcile", "audit", "purge")),
    *(
        _key("ops", name, values.duration)
        for name in ("undo_within", "pause_alarm_after", "hold_alarm_after", "start_expected_within")
    ),
    _key("ops", "warning_lead", values.duration_or_none),
    _key("ops", "burst_a_minute", values.burst),
    _key("ops", "vacation_days_a_year", values.season_days),
    *(_key("retention", name, values.duration) for name in ("idle_runs", "runs", "settled")),
    # Not "port": Kubernetes sets RETURNCLOCK_METRICS_PORT for a Service of that name, in every pod beside it.
    _key("metrics", "listen", values.listen),
    _key("metrics", "token", values.token, secret=True),
)

FILE_KEYS = {(key.section, key.name): key for key in KEYS if key.in_file}
PLAIN_SECTIONS = tuple(dict.fromkeys(key.section for key in FILE_KEYS.values() if key.section))
SECTIONS = (*PLAIN_SECTIONS, "policy", "market")

PEAK_KEYS: dict[str, Reader] = {
    "name": values.text,
    "rule": values.text,
    "days": values.season_days,
    "adds": values.text,
}
# Which words a policy takes for each of these is the policy's to say; here only their types are known.
POLICY_KEYS: dict[str, Reader] = {
    **dict.fromkeys(("period", "ends", "roll", "grace", "calendar", "remind"), values.text),
    "effective_from": values.date_or_instant,
    "late_limit": values.duration,
    "fallback": values.fallback,
}
WHEN_KEYS = ("country", "subdivision", "category", "seller")


def hint(word: str, known: Iterable[str]) -> str:
    """The end of a fault about a misspelt word: the nearest right one, or all of them when none is near."""
    choices = list(known)
    near = get_close_matches(word.lower(), [choice.lower() for choice in choices], n=1, cutoff=0.6)
    if near:
        return "did you mean " + next(choice for choice in choices if choice.lower() == near[0]) + "?"
    return "known are " + ", ".join(choices)
