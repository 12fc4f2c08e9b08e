"""What may stand after the host in the address of a broker or of Celery's results; Celery would stumble over the rest later.

Neither the path nor the words after the ``?`` are ever quoted: where a password was not percent-encoded, they are its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl

_ENCODE = "percent-encode '/', '@', '#' and '?' in the password"
_CERTIFICATES = ("CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE", "required", "optional", "none")


def _anything(value: str) -> bool:
    return bool(value)


# Only what both of Celery's halves understand: the same address serves the broker and the results.
_REDIS: dict[str, Callable[[str], bool]] = {"credential_provider": _anything}
_TLS: dict[str, Callable[[str], bool]] = {
    "ssl_cert_reqs": _CERTIFICATES.__contains__,
    "ssl_ca_certs": _anything,
    "ssl_certfile": _anything,
    "ssl_keyfile": _anything,
    "ssl_check_hostname": ("true", "false").__contains__,
}
# All else, such as a heartbeat, would reach the client as a text where it counts with a number.
_RABBITMQ: dict[str, Callable[[str], bool]] = {"login_method": _anything}

_TOLD = {
    "redis": "after the '?' of a redis:// address only credential_provider= is known; TLS begins with rediss://",
    "rediss": f"after the '?' of a rediss:// address only credential_provider=, {'=, '.join(_TLS)}= are known; "
    f"ssl_cert_reqs is one of {', '.join(_CERTIFICATES[:3])}, and ssl_check_hostname is true or false",
    "sentinel": "a sentinel:// address has nothing after a '?'; TLS is sentinel_tls = true under [broker]",
    "amqp": "after the '?' of RabbitMQ's address only login_method= is known; the files of TLS are named under [broker]",
}
_WORDS = {"redis": _REDIS, "rediss": _REDIS | _TLS, "sentinel": {}, "amqp": _RABBITMQ}


def check_words(parts: SplitResult) -> None:
    """Refuse the address of a Redis, a Sentinel or a RabbitMQ that Celery could not work with.

    Raises:
        ValueError: what may stand there instead.
    """
    kind = parts.scheme if parts.scheme in _WORDS else "amqp"
    if kind != "amqp" and not re.fullmatch(r"/{0,2}\d{0,4}", parts.path):
        raise ValueError(f"after the host stands the number of a database, such as /0, and nothing else; {_ENCODE}")
    if "@" in parts.path:  # a virtual host may have one, and then it is encoded
        raise ValueError(f"the host cannot be told from the password; {_ENCODE}, and '@' in the name of a virtual host")
    words = _WORDS[kind]
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in words or not words[name](value):
            raise ValueError(_TOLD[kind])
