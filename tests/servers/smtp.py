"""A mail server inside the test's process: it keeps what it takes, and refuses, defers or hangs up when told to."""

from __future__ import annotations

import asyncio
import email
import os
import ssl
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Literal, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers.process import HOST, PORT_ATTEMPTS, free_port

Stage = Literal["mail", "rcpt", "data"]
Security = Literal["none", "starttls", "tls"]

TAKEN = "250 2.0.0 taken"


@dataclass(frozen=True)
class ReceivedMessage:
    """A message with its envelope; ``content`` is what went over the wire, byte for byte."""

    mail_from: str
    recipients: tuple[str, ...]
    content: bytes
    login: str | None

    @property
    def parsed(self) -> EmailMessage:
        message = email.message_from_bytes(self.content, policy=default)
        assert isinstance(message, EmailMessage)
        return message


class Pipelining:
    """A handler that says that commands may come together (RFC 2920), as nearly every server does; aiosmtpd can it unsaid."""

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]


class SMTPSink(Pipelining):
    """``messages`` holds what was taken. With ``login=("user", "password")`` nothing is taken from anybody else.

    ``security="starttls"`` demands STARTTLS and ``"tls"`` speaks TLS from the first byte, both under a certificate for
    ``localhost`` and 127.0.0.1 that only the authority in ``authority_file`` vouches for. ``stop`` and ``start`` take
    the server away and give it back on the same port.
    """

    def __init__(self, *, security: Security = "none", login: tuple[str, str] | None = None) -> None:
        self.security = security
        self.login = login
        self.port = 0
        self.messages: list[ReceivedMessage] = []
        self.authority_file: Path | None = None
        self._changed = threading.Condition()
        self._replies: dict[Stage, deque[str]] = {"mail": deque(), "rcpt": deque(), "data": deque()}
        self._refused_recipients: dict[str, str] = {}
        self._hang_ups = 0
        self._controller: _Controller | None = None
        self.context: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        if self.security != "none":
            self._issue_certificate()
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            self.port = free_port()
            try:
                self.start()
                return self
            except OSError:
                if not attempts_left:
                    raise
        raise AssertionError("unreachable")

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.authority_file:
            self.authority_file.unlink()

    @property
    def url(self) -> str:
        scheme = "smtps" if self.security == "tls" else "smtp"
        user = "{}:{}@".format(*self.login) if self.login else ""
        return f"{scheme}://{user}{HOST}:{self.port}"

    def start(self) -> None:
        """Listen on the port. Raises OSError when it is taken."""
        controller = _Controller(self)
        controller.start()
        self._controller = controller

    def stop(self) -> None:
        """Cut off every client and stop listening. Does nothing to a stopped server."""
        if self._controller is not None:
            self._controller.cut_off_clients()
            self._controller.stop()
            self._controller = None

    def refuse_next(self, reply: str = "550 5.1.1 no such user", *, at: Stage = "rcpt", times: int = 1) -> None:
        """Answer the next RCPT (or MAIL, or the end of DATA) with this reply instead of taking it."""
        self._replies[at].extend([reply] * times)

    def defer_next(self, reply: str = "451 4.7.1 try again later", *, at: Stage = "rcpt", times: int = 1) -> None:
        """As ``refuse_next``, with a reply that asks to come back later."""
        self.refuse_next(reply, at=at, times=times)

    def refuse_recipient(self, address: str, reply: str = "550 5.1.1 no such user") -> None:
        """Refuse this address for good, whatever else is scripted; all others are served."""
        self._refused_recipients[address] = reply

    def hang_up_next(self) -> None:
        """Take the next message, then close the connection without a reply: its sender cannot know."""
        self._hang_ups += 1

    def wait_for(self, count: int, seconds: float = 10.0) -> list[ReceivedMessage]:
        """The messages, once there are so many. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, seconds):
                raise TimeoutError(f"{len(self.messages)} of {count} messages came within {seconds:g} seconds.")
            return list(self.messages)

    def _issue_certificate(self) -> None:
        import trustme  # here, because only the tests of TLS need it

        authority = trustme.CA()
        descriptor, path = tempfile.mkstemp(prefix="smtp-authority-", suffix=".pem")
        os.close(descriptor)
        self.authority_file = Path(path)
        self.authority_file.write_bytes(authority.cert_pem.bytes())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", HOST).configure_cert(self.context)

    # aiosmtpd calls these by their names, in its own thread.

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if self._replies["mail"]:
            return self._replies["mail"].popleft()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return TAKEN

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self._refused_recipients:
            return self._refused_recipients[address]
        if self._replies["rcpt"]:
            return self._replies["rcpt"].popleft()
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return TAKEN

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self._replies["data"]:
            return self._replies["data"].popleft()
        content = envelope.original_content
        assert content is not None and envelope.mail_from is not None
        message = ReceivedMessage(envelope.mail_from, tuple(envelope.rcpt_tos), content, session.auth_data)
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
        if self._hang_ups:
            self._hang_ups -= 1
            assert server.transport is not None
            server.transport.abort()
        return TAKEN

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        # handled=False lets aiosmtpd answer 535 itself.
        return AuthResult(success=given == self.login, handled=False, auth_data=given[0])


class _Controller(Controller):
    """Runs a sink's sessions, and knows them, so that a stop need not wait for a client that keeps its connection."""

    def __init__(self, sink: SMTPSink) -> None:
        self.transports: set[asyncio.BaseTransport] = set()
        super().__init__(
            sink,
            hostname=HOST,
            port=sink.port,
            ssl_context=sink.context if sink.security == "tls" else None,
            tls_context=sink.context if sink.security == "starttls" else None,
            require_starttls=sink.security == "starttls",
            authenticator=sink.authenticate if sink.login else None,
            auth_required=sink.login is not None,
            # aiosmtpd does not count TLS from the first byte as TLS.
            auth_require_tls=sink.security == "starttls",
            server_hostname="localhost",
        )

    def factory(self) -> SMTP:
        return _Session(self.transports, self.handler, **self.SMTP_kwargs)

    def cut_off_clients(self) -> None:
        done = threading.Event()

        def cut_off() -> None:
            for transport in list(self.transports):
                transport.abort()
            # The transports report their end on the next turn of the loop.
            self.loop.call_soon(done.set)

        self.loop.call_soon_threadsafe(cut_off)
        done.wait(5)


class _Session(SMTP):
    def __init__(self, transports: set[asyncio.BaseTransport], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None:
            self._transports.discard(self.transport)
        super().connection_lost(error)
