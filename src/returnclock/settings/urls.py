"""Addresses of the database, the broker, the results and the mail server, as hosts and operators write them.

A fault never quotes an address: it names the scheme and the place, because the rest may be a password.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from returnclock.settings.broker_words import check_words
from returnclock.settings.values import text

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^:@/?#]*):(?P<password>.*)@", re.DOTALL)
_SECRET_IN_QUERY = re.compile(r"(?i)([?&;][^=&;]*(?:pass|pwd|secret|token)[^=&;]*=)[^&]*")
# Sentinel and RabbitMQ take several addresses in one text, parted by semicolons.
_NEXT_ADDRESS = re.compile(r";(?=[A-Za-z][\w+.-]*://)")

_DATABASES = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mariadb+pymysql",
    "mysql+pymysql": "mariadb+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}
LOCAL_BROKERS = ("filesystem", "memory")
_REDIS = ("redis", "rediss", "sentinel")
_BROKERS = (*_REDIS, "amqp", "amqps", "pyamqp", *LOCAL_BROKERS)
_RESULTS = (*_REDIS, "rpc", "file", "cache+memory")
# How MySQL's own clients name TLS, and as hosts write it, against the words that SQLAlchemy hands to PyMySQL.
_MYSQL_TLS = {
    "disabled": ["ssl_disabled=true"],
    "preferred": [],
    "required": ["ssl_check_hostname=false"],
    "verify_ca": ["ssl_check_hostname=false"],
    "verify_identity": ["ssl_check_hostname=true"],
}


def redacted(url: str) -> str:
    """The address with every password replaced by ``***``, fit for a log or a message.

    Everything from the first colon after the user to the last ``@`` goes: a password that should have been
    percent-encoded, with a slash or an ``@`` of its own, is hidden whole.
    """
    hidden = [_USERINFO.sub(r"\g<scheme>\g<user>:***@", part) for part in _NEXT_ADDRESS.split(url)]
    return ";".join(_SECRET_IN_QUERY.sub(r"\1***", part) for part in hidden)


def _parts(written: str, needs_host: bool = True) -> SplitResult:
    """The parts of one address whose host and port can be read."""
    try:
        parts = urlsplit(written)
        # Of a second "@" each library makes something else, and what one takes for the host it tells in its errors.
        broken = parts.port == 0 or bool(parts.fragment) or (parts.netloc + parts.path).count("@") > 1
    except ValueError:
        broken = True
    if broken:
        # urlsplit's own message may quote a part of the password, so it is not shown.
        raise ValueError("the host or the port cannot be read; percent-encode '/', '@', '#' and '?' in the password (@ is %40)")
    if needs_host and not parts.hostname:
        raise ValueError(f"the address names no host; write {parts.scheme}://user:password@host:port/name")
    return parts


def _scheme(written: str, known: tuple[str, ...], what: str) -> str:
    scheme, separator, _ = written.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{,30}", scheme):
        raise ValueError(f"this is not the address of a {what}; write one that begins with {known[0]}://")
    if scheme.lower() not in known:
        raise ValueError(f"there is no {what} of the kind {scheme!r}; the address begins with one of {', '.join(known)}")
    return scheme.lower()


def database(raw: object) -> str:
    """A database's address, with the driver that returnclock ships: psycopg, PyMySQL or Python's own SQLite."""
    written = text(raw)
    scheme = _scheme(written, tuple(_DATABASES), "database")
    target = _DATABASES[scheme] + written[len(scheme) :]
    if target.startswith("sqlite"):
        return _sqlite(target)
    parts = _parts(target, needs_host=target.startswith("mariadb"))
    if not parts.path.strip("/") and "dbname=" not in parts.query:
        raise ValueError("the address names no database; end it with /name")
    return _with_mysql_tls(target) if target.startswith("mariadb") else target


def _sqlite(target: str) -> str:
    path = target.removeprefix("sqlite://").partition("?")[0]
    if path in ("", "/", "/:memory:"):
        # Worker and beat are separate processes: each would have a database of its own, and lose it when it ends.
        raise ValueError("a database in memory is lost with its process; write sqlite:///path/to/file.db")
    if not path.startswith("/"):
        raise ValueError("an SQLite address has three slashes before a path; write sqlite:///path/to/file.db")
    return target


def _with_mysql_tls(target: str) -> str:
    """Hosts hand out ``ssl-mode=REQUIRED`` or ``reconnect=true``, which PyMySQL refuses as unknown words."""
    address, _, query = target.partition("?")
    words: list[str] = []
    mode = ""
    for word in query.split("&"):
        name, _, value = word.partition("=")
        if name.lower() in ("ssl-mode", "ssl_mode", "sslmode"):
            mode = value.lower().replace("-", "_")
        elif name and name != "reconnect":
            words.append(word.replace("ssl-", "ssl_", 1) if name.startswith("ssl-") else word)
    if mode:
        if mode not in _MYSQL_TLS:
            raise ValueError(f"{mode[:40]!r} is not an ssl-mode; known are {', '.join(_MYSQL_TLS)}")
        if mode.startswith("verify") and not any(word.startswith("ssl_ca=") for word in words):
            raise ValueError(f"ssl-mode {mode} needs the authority's certificate; add ssl_ca=/path/to/ca.pem")
        words += _MYSQL_TLS[mode]
    return f"{address}?{'&'.join(words)}" if words else address


def absolute_sqlite(url: str, directory: Path) -> str:
    """An SQLite address whose relative path is taken from ``directory``; any other address as it is."""
    head, _, query = url.partition("?")
    path = head.removeprefix("sqlite:///")
    if path == head or path.startswith("file:"):
        return url
    return f"sqlite:///{directory / path}" + (f"?{query}" if query else "")


def redis(raw: object) -> str:
    """A Redis server's address, for the broker and the results alike."""
    written = text(raw)
    _scheme(written, _REDIS, "Redis server")
    return _server(written)


def broker(raw: object) -> str:
    """The broker's address: Redis (also with TLS or Sentinel), RabbitMQ, or this machine's files."""
    written = text(raw)
    return written if _scheme(written, _BROKERS, "broker") in LOCAL_BROKERS else _server(written)


def results(raw: object) -> str:
    """The address of Celery's results; ``clock_runs`` in the database is the record wherever they are kept."""
    written = text(raw)
    if written == "disabled" or re.match(r"db\+\w+", written):
        return written  # db+ is followed by whatever SQLAlchemy takes
    if _scheme(written, _RESULTS, "result backend") not in _REDIS:
        return written
    return _server(written)


def _server(written: str) -> str:
    addresses = _NEXT_ADDRESS.split(written)
    for address in addresses:
        check_words(_parts(address))
    return ";".join(_with_certificate_check(address) for address in addresses)


def _with_certificate_check(address: str) -> str:
    """Celery refuses rediss:// without ``ssl_cert_reqs``, which no host writes; the safe word is put in."""
    if not address.startswith("rediss://") or "ssl_cert_reqs=" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}ssl_cert_reqs=CERT_REQUIRED"


def smtp(raw: object) -> str:
    """The mail server's address: ``smtp://user:password@host:587?tls=starttls`` or ``smtps://user:password@host:465``."""
    written = text(raw)
    scheme = _scheme(written, ("smtp", "smtps"), "mail server")
    parts = _parts(written)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        # A misspelt tls= would send the password in the clear; so unknown words are refused, not passed over.
        is_tls = name == "tls" and value in ("starttls", "none") and scheme == "smtp"
        if not is_tls and not (name == "ca" and value):
            raise ValueError("after the '?' only ca=FILE is known, and tls=starttls or tls=none of an smtp:// address")
    return written
