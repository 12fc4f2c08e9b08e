"""How Celery reaches the broker and the results: folders of this machine, Redis with TLS or Sentinel, RabbitMQ.

Every wait has an end. A server that vanishes without closing its connections is noticed within ``SILENCE_S`` at most, and
worker and beat then connect again for as long as it takes. Reads settings; knows no task. Called by ``configuration``.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

from returnclock.settings import BrokerSettings, Settings

# Nothing that is asked of Redis takes longer than a moment, but for the wait for a message, which is a second at most.
CONNECT_S = 5
ANSWER_S = 5
# Kombu gives up a silent connection after a second's wait for a message and two checks that were missed.
CHECK_S = 5
SILENCE_S = 1 + 2 * CHECK_S
# Celery's own default, 20 times, holds the worker for minutes with results that nobody waits for.
RESULT_ATTEMPTS = {"max_retries": 0, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1}
# They only mirror clock_runs, and a worker's process waits for them.
RESULT_S = 2
# Each result of the embedded default is a file, and about 200 come every minute.
RESULT_FILES_KEPT_S = 600

_REDIS = ("redis", "sentinel")


def messaging(settings: Settings, visibility_timeout: int) -> dict[str, Any]:
    """Celery's settings of broker and results. ``visibility_timeout``: seconds after which a message is handed on."""
    return _broker(settings, visibility_timeout) | _results(settings)


def _broker(settings: Settings, visibility_timeout: int) -> dict[str, Any]:
    url, broker = settings.broker_url, settings.broker
    if url.startswith("filesystem://"):
        return _folders(settings.data_folder / "broker")
    told: dict[str, Any] = {"broker_url": _with_tls_files(url, broker)}
    if url.startswith(_REDIS):
        # An explicit transport goes before the one that the URL's scheme names.
        own = "SentinelTransport" if url.startswith("sentinel") else "Transport"
        told["broker_transport"] = f"returnclock.tasks.redis_broker:{own}"
        told["broker_transport_options"] = _redis(url, broker) | {
            "visibility_timeout": visibility_timeout,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            **_IN_HAND,
            **_CONNECTION,
        }
    if url.startswith("sentinel") and broker.sentinel_tls:
        told["broker_use_ssl"] = _redis_tls(broker)
    elif url.startswith("amqps"):
        # Kombu puts the broker's name where None is; left out, a certificate of any other name would do.
        told["broker_use_ssl"] = {"server_hostname": None, "cert_reqs": ssl.CERT_REQUIRED} | _tls_files(broker, "")
    return told


def _results(settings: Settings) -> dict[str, Any]:
    url, broker = settings.result_backend, settings.broker
    if url.startswith("file://"):
        return {
            "result_backend": f"returnclock.tasks.local_broker:ResultFolder+{url}",
            "result_expires": RESULT_FILES_KEPT_S,
        }
    told: dict[str, Any] = {"result_backend": _with_tls_files(url, broker)}
    if url.startswith(_REDIS):
        own = "SentinelResults" if url.startswith("sentinel") else "Results"
        told["result_backend"] = f"returnclock.tasks.results:{own}+{told['result_backend']}"
        told |= {f"redis_{name}": value for name, value in _CONNECTION.items() if name != "health_check_interval"}
        told |= {"redis_socket_timeout": RESULT_S, "redis_socket_connect_timeout": RESULT_S}
        told["redis_backend_health_check_interval"] = CHECK_S
        told["result_backend_transport_options"] = _redis(url, broker) | {"retry_policy": RESULT_ATTEMPTS}
    if url.startswith("sentinel") and broker.sentinel_tls:
        told["redis_backend_use_ssl"] = _redis_tls(broker)
    return told


# Where Redis keeps what a worker has in hand. By kombu's own names another program's tasks would be there as well, and be
# handed on after our time and not after that program's: twice done where one takes an hour.
_IN_HAND = {f"{name}_key": f"returnclock.{name}" for name in ("unacked", "unacked_index", "unacked_mutex")}

_CONNECTION: dict[str, Any] = {
    # Without it a publish on a half-open connection waits for ever.
    "socket_timeout": ANSWER_S,
    "socket_connect_timeout": CONNECT_S,
    "socket_keepalive": True,
    # Celery and kombu try again themselves; a second layer below them would multiply the waits.
    "retry_on_timeout": False,
    "health_check_interval": CHECK_S,
}


def _redis(url: str, broker: BrokerSettings) -> dict[str, Any]:
    """The options that broker and results share."""
    options: dict[str, Any] = {"global_keyprefix": broker.key_prefix} if broker.key_prefix else {}
    if url.startswith("sentinel"):
        options |= {"master_name": broker.sentinel_master, "sentinel_kwargs": _to_the_sentinels(broker)}
    return options


def _to_the_sentinels(broker: BrokerSettings) -> dict[str, Any]:
    """How the Sentinels themselves are asked. They answer at once, and when one does not, the next is asked."""
    options: dict[str, Any] = {
        "socket_timeout": CONNECT_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_keepalive": True,
        # Left out, the client asks one that is down ten times, for seconds, before it asks the next.
        "retry": None,
    }
    if broker.sentinel_password:
        options["password"] = broker.sentinel_password
    if broker.sentinel_tls:
        options |= {"ssl": True} | _redis_tls(broker)
    return options


def _redis_tls(broker: BrokerSettings) -> dict[str, Any]:
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} | _tls_files(broker, "ssl_")


def _tls_files(broker: BrokerSettings, prefix: str) -> dict[str, str]:
    files = {"ca_certs": broker.tls_ca, "certfile": broker.tls_certificate, "keyfile": broker.tls_key}
    return {prefix + name: path for name, path in files.items() if path}


def _with_tls_files(url: str, broker: BrokerSettings) -> str:
    """Where an address speaks of TLS, Celery listens to nothing else: the files of the settings join the rest there."""
    if not url.startswith("rediss://"):
        return url
    words = [f"{name}={quote(path, safe='/')}" for name, path in _tls_files(broker, "ssl_").items() if f"{name}=" not in url]
    return "&".join([url, *words]) if "?" in url else url + ("?" + "&".join(words) if words else "")


def _folders(broker: Path) -> dict[str, Any]:
    return {
        # Kombu warns of a URL that names no host, even where there is none.
        "broker_url": "filesystem://localhost",
        "broker_transport": "returnclock.tasks.local_broker:Transport",
        "broker_transport_options": {
            "data_folder_in": str(broker / "queue"),
            "data_folder_out": str(broker / "queue"),
            "control_folder": str(broker / "control"),
            "polling_interval": 0.1,
        },
        # One machine: whoever wants to know whether beat lives can see its process.
        "beat_enable_remote_control": False,
    }
