"""Hands notices to an SMTP server (RFC 5321), many over one connection, and says exactly what became of each.

smtplib's ``sendmail`` is refused here: it cannot tell a connection that broke before the message was handed over,
which is harmless, from one that broke after, when it may have been taken.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from returnclock.errors import DeliveryUncertain, MailServerDown, NoticeDeferred, NoticeRefused, SettingsError
from returnclock.mail.addresses import address_fault, mailbox, wire_address
from returnclock.mail.envelope import No, NoAnswer, open_message
from returnclock.mail.phrases import one_line
from returnclock.mail.server import read_server

if TYPE_CHECKING:
    from returnclock.mail.transport import Meanwhile

_GOODBYE_S = 2.0
# How many times as long as for another answer, and how long at most, a server's last word of a message is waited for.
_VERDICT_TIMES, _VERDICT_S = 4, 120
_LINE_END = re.compile(rb"\r\n|\r|\n")
_CLOSING = 421  # may answer any command: the server is going away (RFC 5321 3.8)
# These answer the session, not the recipient: a login is wanted, TLS is wanted.
_SESSION_REPLIES = (_CLOSING, 530, 534, 535, 538)


class SmtpMailer:
    """An SMTP server. ``timeout_s``: how long one answer may take, in seconds; ``sender``: who the letters are from.

    ``connections``: how many may be open at once for one round of letters.
    Raises SettingsError where the address or the sender cannot be used.
    """

    def __init__(self, url: str, *, timeout_s: float, sender: str, connections: int = 1) -> None:
        self._server = read_server(url)
        self.connections = connections
        self._timeout_s = timeout_s
        if fault := address_fault(mailbox(sender)[1]):
            raise SettingsError(faults=[f"[mail] sender: {fault}"])
        self._sender = wire_address(mailbox(sender)[1])
        if not self._sender.isascii():
            raise SettingsError(faults=["[mail] sender: the part before the @ must be ASCII; not every server takes more"])
        self._own_name: str | None = None

    @property
    def name(self) -> str:
        """Host and port of the server."""
        return self._server.name

    @contextmanager
    def open(self) -> Iterator[SmtpChannel]:
        """A connection, greeted and logged in. Raises MailServerDown."""
        channel = SmtpChannel(self, self._sender)
        channel.connect()
        try:
            yield channel
        finally:
            channel.close()

    def connected(self) -> smtplib.SMTP:
        """A new connection, greeted and logged in. Raises MailServerDown."""
        try:
            connection = self._dialled()
        except (OSError, UnicodeError) as error:  # smtplib's errors are OSErrors
            raise self.down(_said(error)) from error
        try:
            self._greet(connection)
        except (OSError, UnicodeError) as error:
            connection.close()
            raise self.down(_said(error)) from error
        except MailServerDown:
            connection.close()
            raise
        # Asking the machine for its own name can take seconds where its name server is away: once is enough.
        self._own_name = connection.local_hostname
        return connection

    def _dialled(self) -> smtplib.SMTP:
        server = self._server
        if server.tls == "wrapped":
            return smtplib.SMTP_SSL(server.host, server.port, self._own_name, timeout=self._timeout_s, context=server.context)
        return smtplib.SMTP(server.host, server.port, self._own_name, timeout=self._timeout_s)

    def _greet(self, connection: smtplib.SMTP) -> None:
        server = self._server
        connection.ehlo_or_helo_if_needed()
        secure = server.tls == "wrapped"
        if server.tls in ("starttls", "if_offered") and connection.has_extn("starttls"):
            connection.starttls(context=server.context)
            connection.ehlo_or_helo_if_needed()
            secure = True
        if server.tls == "starttls" and not secure:
            raise self.down("it does not offer STARTTLS, which tls=starttls asks for; nothing was sent.")
        if server.user is None:
            return
        if not secure and not server.may_login_in_the_clear:
            raise self.down("it offers no TLS, so no password was sent; on a network of your own, write ?tls=none.")
        connection.login(server.user, server.password)

    def verdict(self, connection: smtplib.SMTP) -> tuple[int, bytes]:
        """What the server says of a message that it has whole. Raises OSError.

        It may take its time, for whoever gives up too early sends the message twice (RFC 5321 4.5.3.2.6 says ten minutes); but
        no longer than a worker may take for a task.
        """
        assert connection.sock is not None
        connection.sock.settimeout(min(_VERDICT_TIMES * self._timeout_s, _VERDICT_S))
        answer = connection.getreply()
        if connection.sock is not None:
            connection.sock.settimeout(self._timeout_s)
        return answer

    def down(self, reason: str) -> MailServerDown:
        """The error that says why no mail goes, without the password, which a server may have echoed."""
        if self._server.password:
            reason = reason.replace(self._server.password, "***")
        return MailServerDown(server=self.name, reason=reason)


class SmtpChannel:
    """One connection for many notices; dialled again when the server has closed it between two of them."""

    def __init__(self, mailer: SmtpMailer, sender: str) -> None:
        self._mailer = mailer
        self._sender = sender
        self._connection: smtplib.SMTP | None = None

    def connect(self) -> smtplib.SMTP:
        """Dial. Raises MailServerDown."""
        self._connection = self._mailer.connected()
        return self._connection

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        """Hand over one message; see ``transport.Channel.send``."""
        connection = self._opened(wire_address(to_address))
        code, reply = self._handed_over(connection, raw, meanwhile)
        if not 200 <= code < 300:
            raise self._not_taken(code, reply)

    def _opened(self, recipient: str) -> smtplib.SMTP:
        """A connection that awaits the message; a new one if the kept one is gone: nothing of it has been sent yet."""
        if self._connection is not None:
            with suppress(NoAnswer):
                no = self._first_no(self._connection, recipient)
                if no is None:
                    return self._connection
                if (no.verb, no.code) != ("MAIL", _CLOSING):
                    raise self._refused(no)
            self.close()
        connection = self.connect()
        try:
            no = self._first_no(connection, recipient)
        except NoAnswer as error:
            raise self._lost(error.fault) from error
        if no is not None:
            raise self._refused(no)
        return connection

    def _first_no(self, connection: smtplib.SMTP, recipient: str) -> No | None:
        try:
            return open_message(connection, self._sender, recipient)
        except OSError as error:
            raise self._lost(error) from error

    def _refused(self, no: No) -> MailServerDown | NoticeDeferred | NoticeRefused:
        if not no.usable and self._connection is not None:
            self._connection.close()  # without a goodbye, which might be taken for a message's text
            self.close()
        if no.verb == "MAIL":  # for the sender's sake: it would be so for every notice
            self._reset()
            return self._mailer.down(_reply(no.code, no.reply))
        return self._not_taken(no.code, no.reply)

    def _handed_over(self, connection: smtplib.SMTP, raw: bytes, meanwhile: Meanwhile) -> tuple[int, bytes]:
        try:
            connection.send(_stuffed(raw))
            if meanwhile is not None:
                meanwhile()
            code, reply = self._mailer.verdict(connection)
        except OSError as error:
            self.close()
            raise DeliveryUncertain(server=self._mailer.name, reason=_said(error)) from error
        if not 200 <= code < 300 and not 400 <= code < 600:
            self.close()
            raise DeliveryUncertain(server=self._mailer.name, reason=f"it answered {_reply(code, reply)}")
        return code, reply

    def _not_taken(self, code: int, reply: bytes) -> MailServerDown | NoticeDeferred | NoticeRefused:
        """The error for an answer that is no yes; the connection is made ready for the next notice."""
        if code in _SESSION_REPLIES or not 400 <= code < 600:
            self.close()
            return self._mailer.down(_reply(code, reply))
        self._reset()
        return (NoticeDeferred if code < 500 else NoticeRefused)(reason=_reply(code, reply))

    def _reset(self) -> None:
        """Forget the message that was begun, or the next one would also go to its recipient."""
        try:
            if self._connection is not None and self._connection.rset()[0] != 250:
                self.close()
        except OSError:
            self.close()

    def _lost(self, error: OSError) -> MailServerDown:
        self.close()
        return self._mailer.down(_said(error))

    def close(self) -> None:
        """Say goodbye, briefly. Does nothing to a connection that is gone."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(OSError):
            if connection.sock is not None:
                connection.sock.settimeout(_GOODBYE_S)
                connection.quit()
        connection.close()


def _stuffed(raw: bytes) -> bytes:
    """The message as DATA wants it: a line that begins with a dot gets another, a lone dot ends it (RFC 5321 4.5.2)."""
    lines = raw if raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n") else _LINE_END.sub(b"\r\n", raw)
    # One dot more at the beginning of a line; the end of the last line begins the end of all.
    return (b"\r\n" + lines).replace(b"\r\n.", b"\r\n..")[2:].removesuffix(b"\r\n") + b"\r\n.\r\n"


def _reply(code: int, reply: bytes) -> str:
    return one_line(f"{code} {reply.decode('utf-8', 'replace')}", 300)


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return _reply(error.smtp_code, reply if isinstance(reply, bytes) else str(reply).encode())
    if isinstance(error, UnicodeError):
        return "its name or the login holds letters that SMTP cannot carry."
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__, 300)
