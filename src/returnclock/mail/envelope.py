"""What is said before a message, MAIL, RCPT and DATA (RFC 5321 3.3), and the server's first no to it. Imports errors alone.

A server that offers PIPELINING (RFC 2920) is told all three at once: a letter then takes two turns to the server and back
instead of four, which is most of its time where the server is far away.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from returnclock.errors import NoticeRefused

_YES = {"MAIL": (250,), "RCPT": (250, 251), "DATA": (354,)}


class NoAnswer(Exception):
    """The connection was gone before anything was answered, as if nothing had been asked; ``fault`` is how that showed."""

    def __init__(self, fault: OSError) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True)
class No:
    """The first answer that was no yes. ``usable``: whether the connection can be made ready for another message."""

    verb: str
    code: int
    reply: bytes
    usable: bool


def open_message(connection: smtplib.SMTP, sender: str, recipient: str) -> No | None:
    """Say from whom and to whom (addresses as on the wire); after None the server awaits the message.

    Raises:
        NoticeRefused: the recipient's address takes a server with SMTPUTF8, and this is none; nothing was said.
        NoAnswer: the connection was gone.
        OSError: the connection broke later; nothing of the message was sent.
    """
    commands = (_mail(connection, sender, recipient), f"RCPT TO:<{recipient}>", "DATA")
    together = connection.has_extn("pipelining")
    answers = _answers(connection, commands, together)
    try:
        first = next(answers)
    except OSError as error:
        raise NoAnswer(error) from error
    for verb, (code, reply) in zip(_YES, chain([first], answers), strict=False):
        if code not in _YES[verb]:
            return No(verb, code, reply, usable=not together or _heard_out(answers))
    return None


def _answers(connection: smtplib.SMTP, commands: Sequence[str], together: bool) -> Iterator[tuple[int, bytes]]:
    if together:
        # In one packet: one for each command would wait for the one before to be acknowledged.
        connection.send("".join(f"{command}\r\n" for command in commands))
    for command in commands:
        yield connection.getreply() if together else connection.docmd(command)


def _mail(connection: smtplib.SMTP, sender: str, recipient: str) -> str:
    if recipient.isascii():
        return f"MAIL FROM:<{sender}>"
    if not connection.has_extn("smtputf8"):
        raise NoticeRefused(reason="its address has letters beyond ASCII before the @, and the mail server offers no SMTPUTF8.")
    connection.command_encoding = "utf-8"
    return f"MAIL FROM:<{sender}> SMTPUTF8 BODY=8BITMIME"


def _heard_out(answers: Iterator[tuple[int, bytes]]) -> bool:
    """Take the answers to what was said behind the refused command; whether all came, and none asks for a message.

    RFC 2920 3.1 lets a server say 354 with no recipient left, and ends that with a message of nothing but a dot. We hang up
    instead: what never ends cannot be taken for a letter.
    """
    try:
        return 354 not in [code for code, _ in answers]
    except OSError:
        return False
