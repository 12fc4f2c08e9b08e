"""What carries a notice: a mailer opens a channel, and a channel sends many notices, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from returnclock.mail.folder import FolderMailer
from returnclock.mail.smtp import SmtpMailer

if TYPE_CHECKING:
    from returnclock.settings import MailSettings


# What there is to do while an answer is awaited.
Meanwhile = Callable[[], object] | None


class Channel(Protocol):
    """An open way to send notices."""

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        """Send one message (as ``compose`` makes it); returning means that it was taken.

        ``meanwhile`` may be called while the message is out and the answer is not yet there.

        Raises:
            MailServerDown: the server or our settings; no notice can go now, and this one was not taken.
            NoticeDeferred: this notice was not taken now, but may be later.
            NoticeRefused: this notice will never be taken.
            DeliveryUncertain: it was handed over whole, and then the connection broke. The channel stays usable.
        """


class Mailer(Protocol):
    """A way out for notices. ``name`` is fit for messages: it holds no password. Its channels are used by a thread each."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def connections(self) -> int:
        """How many channels may be open at once for one round of letters."""

    def open(self) -> AbstractContextManager[Channel]:
        """A channel, closed at the end of the ``with``. Raises MailServerDown."""


def mailer_for(mail: MailSettings, data_folder: Path) -> Mailer:
    """The mailer that the settings ask for: an SMTP server, or the folder ``mail`` of the data folder.

    Raises SettingsError where address or sender cannot be used.
    """
    if mail.smtp_url is None:
        return FolderMailer(data_folder / "mail")
    return SmtpMailer(mail.smtp_url, timeout_s=mail.timeout_s, sender=mail.sender, connections=mail.connections)
