"""A mailer in memory that keeps what it takes and fails as it is told to."""

from __future__ import annotations

import email
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default

from returnclock.errors import MailError, MailServerDown
from returnclock.mail import Meanwhile


@dataclass(frozen=True)
class Taken:
    """A message that was taken."""

    address: str
    message_id: str
    raw: bytes

    @property
    def parsed(self) -> EmailMessage:
        message = email.message_from_bytes(self.raw, policy=default)
        assert isinstance(message, EmailMessage)
        return message

    @property
    def text(self) -> str:
        body = self.parsed.get_body(("plain",))
        assert body is not None
        return str(body.get_content())


class PostBox:
    """``taken`` holds the messages; ``faults`` maps an address to what sending to it raises, in turn."""

    name = "post box"

    def __init__(self) -> None:
        self.connections = 1
        self.taken: list[Taken] = []
        self.faults: dict[str, list[MailError]] = {}
        self.closed = False  # refuses to be opened at all
        self.before_open: Callable[[], None] = lambda: None
        self.before_send: Callable[[str], None] = lambda address: None

    @contextmanager
    def open(self) -> Iterator[PostBox]:
        if self.closed:
            raise MailServerDown(server=self.name, reason="it is closed")
        self.before_open()
        yield self

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        self.before_send(to_address)
        waiting = self.faults.get(to_address)
        if waiting:
            raise waiting.pop(0)
        self.taken.append(Taken(to_address, message_id, raw))

    def addresses(self) -> list[str]:
        return [message.address for message in self.taken]
