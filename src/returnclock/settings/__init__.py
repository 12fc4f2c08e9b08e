"""The settings: environment over returnclock.toml over the defaults, read once, every fault reported together.

Only the structure is checked here. Whether a period parses, a country has a calendar or a kind exists is for the
rooms that know, which report in the same way. Called by ``wiring``; imports only ``errors``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from returnclock.errors import SettingsError
from returnclock.settings.document import Document, open_document
from returnclock.settings.environment import KNOWN_VARIABLES, from_environment
from returnclock.settings.keys import CONFIG_VARIABLE, KEYS, PREFIX
from returnclock.settings.market import ColumnMapping, MarketSettings, TableMapping
from returnclock.settings.model import (
    BrokerSettings,
    CalendarSettings,
    DatabaseSettings,
    MailSettings,
    MetricsSettings,
    OpsSettings,
    OverrideSettings,
    PeakSettings,
    PolicySettings,
    RetentionSettings,
    Settings,
    TickSettings,
)
from returnclock.settings.reading import Found
from returnclock.settings.urls import LOCAL_BROKERS, absolute_sqlite, redacted
from returnclock.settings.values import seconds

__all__ = [
    "CONFIG_VARIABLE",
    "KEYS",
    "KNOWN_VARIABLES",
    "PREFIX",
    "BrokerSettings",
    "CalendarSettings",
    "ColumnMapping",
    "DatabaseSettings",
    "MailSettings",
    "MarketSettings",
    "MetricsSettings",
    "OpsSettings",
    "OverrideSettings",
    "PeakSettings",
    "PolicySettings",
    "RetentionSettings",
    "Settings",
    "TableMapping",
    "TickSettings",
    "load",
    "redacted",
    "seconds",
]

FILE_NAME = "returnclock.toml"
_MESSAGING = (("broker", "url"), ("broker", "result_backend"))
_ADDRESSES = (("database", "url"), *_MESSAGING)


def load(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Settings:
    """The settings of this deployment, from ``environ`` (default: the process's) and returnclock.toml.

    Relative paths are taken from ``directory`` (default: the current one) and made absolute, so that a worker that
    later changes folder keeps its database. Raises SettingsError with all structural faults at once.
    """
    environ = os.environ if environ is None else environ
    directory = _current() if directory is None else directory.absolute()
    faults: list[str] = []
    source, document = _file(environ, directory, faults)
    # Both are read whole, so that a fault in the file shows even where a variable overrides it today.
    in_file = document.settings()
    peaks, policies, market = document.peaks(), document.policies(), document.market()
    in_environment = from_environment(environ, faults)
    if faults:
        raise SettingsError(faults=faults)
    found = in_file | in_environment
    folder = directory / os.path.expanduser(str(found.get(("", "data_folder"), "returnclock-data")))
    messaging = _messaging(in_file, in_environment, folder)
    if faults := _tls_without_effect(found, messaging):
        raise SettingsError(faults=faults)
    database = str(found.get(("database", "url"), f"sqlite:///{folder}/returnclock.db"))
    return Settings(
        data_folder=folder,
        database_url=absolute_sqlite(database, directory),
        **messaging,
        policies=policies,
        market=market,
        source=source,
        **_sections(found, peaks),
    )


def _current() -> Path:
    try:
        return Path.cwd()
    except OSError as fault:  # deleted under the feet of whoever stands in it
        raise SettingsError(faults=[f"the current folder cannot be used ({fault.strerror}); go to another one"]) from fault


def _file(environ: Mapping[str, str], directory: Path, faults: list[str]) -> tuple[Path | None, Document]:
    """The file to read. One that is named but missing is a fault; the usual one may be absent."""
    named = environ.get(CONFIG_VARIABLE, "").strip()
    path = directory / (named or FILE_NAME)
    if not named and not path.exists():
        return None, Document({}, FILE_NAME, faults)
    return path, open_document(path, named or FILE_NAME, faults)


def _sections(found: Found, peaks: tuple[PeakSettings, ...]) -> dict[str, Any]:
    """The settings that are taken as they were found: each table of the file, and the plain keys above them."""

    def section(wanted: str) -> dict[str, Any]:
        return {name: value for (where, name), value in found.items() if where == wanted and (where, name) not in _ADDRESSES}

    plain = {name: value for name, value in section("").items() if name not in ("data_folder", "redis_url")}
    return plain | {
        "database": DatabaseSettings(**section("database")),
        "broker": BrokerSettings(**section("broker")),
        "calendar": CalendarSettings(**section("calendar"), peaks=peaks),
        "mail": MailSettings(**section("mail")),
        "ops": OpsSettings(**section("ops")),
        "ticks": TickSettings(**section("ticks")),
        "retention": RetentionSettings(**section("retention")),
        "metrics": MetricsSettings(**section("metrics")),
    }


def _messaging(in_file: Found, in_environment: Found, folder: Path) -> dict[str, Any]:
    """Broker and results. A host's REDIS_URL stands for both, above the file and below the variable of each."""
    redis = {place: in_environment["", "redis_url"] for place in _MESSAGING if ("", "redis_url") in in_environment}
    found = in_file | redis | in_environment
    broker = str(found.get(_MESSAGING[0], "filesystem://"))
    local = broker.startswith(tuple(f"{scheme}://" for scheme in LOCAL_BROKERS))
    if local:
        beside_it = f"file://{folder}/results"
    elif broker.startswith(("redis", "sentinel")):
        beside_it = broker
    else:
        beside_it = "rpc://"  # RabbitMQ keeps no results, but carries them back to whoever waits
    results = str(found.get(_MESSAGING[1], beside_it))
    return {"broker_url": broker, "result_backend": results, "broker_is_local": local}


def _tls_without_effect(found: Found, messaging: dict[str, Any]) -> list[str]:
    """Settings of TLS beside addresses that do not use it: whoever writes them believes that passwords travel encrypted."""
    addresses = (messaging["broker_url"], messaging["result_backend"])
    has_sentinel = any(address.startswith("sentinel://") for address in addresses)
    with_tls = bool(found.get(("broker", "sentinel_tls")))
    faults = []
    if with_tls and not has_sentinel:
        faults.append("[broker] sentinel_tls: no address begins with sentinel://; for a single server write rediss://")
    if not (with_tls and has_sentinel) and not any(address.startswith(("rediss://", "amqps://")) for address in addresses):
        faults += [
            f"[broker] {name}: no address speaks TLS; write rediss:// or amqps://, or set sentinel_tls for sentinel://"
            for name in ("tls_ca", "tls_certificate", "tls_key")
            if ("broker", name) in found
        ]
    return faults
