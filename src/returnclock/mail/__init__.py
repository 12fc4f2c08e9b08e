"""Notices as letters: written from a row's facts, put into an envelope, and handed to a mail server or a folder.

``phrases`` says facts in words, ``letter`` writes, ``message`` makes the bytes, ``smtp`` and ``folder`` carry them.
Knows no database; imports errors, settings, calendars and kinds. ``deliver`` comes in here, and whoever checks an
address.
"""

from __future__ import annotations

from returnclock.mail.addresses import address_fault
from returnclock.mail.folder import FolderMailer
from returnclock.mail.letter import Letter, write_digest, write_letter
from returnclock.mail.message import compose, message_id
from returnclock.mail.smtp import SmtpMailer
from returnclock.mail.transport import Channel, Mailer, Meanwhile, mailer_for

__all__ = [
    "Channel",
    "FolderMailer",
    "Letter",
    "Mailer",
    "Meanwhile",
    "SmtpMailer",
    "address_fault",
    "compose",
    "mailer_for",
    "message_id",
    "write_digest",
    "write_letter",
]
