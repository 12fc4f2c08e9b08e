"""The mail server's address, read: ``smtp://user:password@host:587?tls=starttls&ca=/path.pem`` or ``smtps://…``."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from returnclock.errors import SettingsError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORM = "write smtp://user:password@host:587?tls=starttls or smtps://user:password@host:465"


@dataclass(frozen=True)
class Server:
    """Where mail goes, and how.

    tls: ``wrapped`` from the first byte (smtps); ``starttls`` or no mail; ``if_offered``; ``none``.
    ca: a file with the authority that vouches for the server, where the machine's own authorities do not.
    """

    host: str
    port: int
    tls: Literal["wrapped", "starttls", "if_offered", "none"]
    user: str | None = None
    password: str = field(default="", repr=False)
    ca: Path | None = None

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def may_login_in_the_clear(self) -> bool:
        """Whether a password may go without TLS: to this machine, or because ``tls=none`` says so."""
        return self.tls == "none" or self.host in _LOOPBACK

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Verifies the certificate and its name; there is no way to turn that off, only to name an authority."""
        return ssl.create_default_context(cafile=self.ca)


def read_server(url: str) -> Server:
    """Read the address. Raises SettingsError, which never quotes it: it may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _fault(f"the host or the port cannot be read; {_FORM}") from None
    wrapped = parts.scheme == "smtps"
    if not host or parts.scheme not in ("smtp", "smtps"):
        raise _fault(f"this is not the address of a mail server; {_FORM}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = options.pop("tls", "if_offered")
    ca = options.pop("ca", None)
    if options.pop("verify", None) is not None:
        raise _fault("certificates are always verified; for one of your own name its authority: ?ca=/path/ca.pem")
    if options or tls not in ("starttls", "none", "if_offered") or (wrapped and tls != "if_offered"):
        raise _fault("after the '?' only ca=/path/ca.pem is known, and with smtp:// also tls=starttls or tls=none")
    if ca is not None and not Path(ca).is_file():
        raise _fault(f"there is no file {ca}; ca= names a file with certificates (PEM)")
    user = unquote(parts.username) if parts.username else None
    return Server(
        host=host,
        port=port or (465 if wrapped else 587 if user else 25),
        tls="wrapped" if wrapped else tls,  # type: ignore[arg-type]
        user=user,
        password=unquote(parts.password or ""),
        ca=Path(ca) if ca else None,
    )


def _fault(reason: str) -> SettingsError:
    return SettingsError(faults=[f"[mail] smtp_url: {reason}"])
