"""Puts a letter into its envelope: the bytes that a mail server is handed (RFC 5322, multipart/alternative). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, EmailPolicy
from typing import Any

from returnclock.errors import NoticeRefused
from returnclock.mail.addresses import mailbox, wire_address
from returnclock.mail.letter import Letter
from returnclock.mail.phrases import one_line

# RFC 5322 2.1.1 allows 998 octets without the line's end; a little less leaves room for a dot that SMTP doubles.
LONGEST_LINE = 990
_FORBIDDEN_IN_HEADER = re.compile("[\x00-\x1f\x7f]")


# RFC 2047 allows 76 characters a line with encoded words, and RFC 2045 as many in quoted-printable.
_ENCODED_LINE = 76
_WHOLE = SMTP.clone(max_line_length=998)
_WHOLE_UTF8 = SMTPUTF8.clone(max_line_length=998)


class _WireFormat(EmailPolicy):
    """Keeps headers whole, but for those that need encoded words.

    The standard policy's own folding encodes URLs and message ids that have no space to fold at, which breaks them, and
    in Python 3.11 loses spaces of long encoded names: a quarter of 2,000 random ones did not come back whole.
    """

    def fold_binary(self, name: str, value: Any) -> bytes:
        if self.utf8 or str(value).isascii():
            return (_WHOLE_UTF8 if self.utf8 else _WHOLE).fold_binary(name, value)
        if addresses := getattr(value, "addresses", None):
            words = ",\r\n ".join(f"{_words(name, at.display_name)}\r\n <{at.addr_spec}>" for at in addresses)
        else:
            words = _words(name, value)
        return f"{name}: {words}\r\n".encode("ascii")


def _words(name: str, text: str) -> str:
    return Header(text, "utf-8", maxlinelen=_ENCODED_LINE, header_name=name).encode(linesep="\r\n")


def compose(
    letter: Letter,
    *,
    sender: str,
    to_name: str | None,
    to_address: str,
    reply_to: str | None,
    message_id: str,
    date: datetime,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The message of a letter, ready for SMTP: every line ends with CRLF and has at most 998 octets.

    ``headers`` are further ones, taken as they are. Raises NoticeRefused for an address that is none, and for a
    header with control characters.
    """
    to = _address(to_name, to_address)
    message = EmailMessage(policy=SMTP.clone(max_line_length=_ENCODED_LINE))
    message["From"] = _address(*mailbox(sender))
    message["To"] = to
    if reply_to:
        message["Reply-To"] = _address(*mailbox(reply_to))
    message["Subject"] = _literal(letter.subject)
    message["Date"] = date
    message["Message-ID"] = message_id
    # RFC 3834: nobody's holiday notice answers it.
    message["Auto-Submitted"] = "auto-generated"
    for name, value in (headers or {}).items():
        if _FORBIDDEN_IN_HEADER.search(name + value):
            raise NoticeRefused(reason=f"its header {name!r} holds a line break or a control character.")
        message[name] = value
    message.set_content(letter.text, cte=_encoding(letter.text))
    message.add_alternative(letter.html, subtype="html", cte=_encoding(letter.html))
    return message.as_bytes(policy=_WireFormat(linesep="\r\n", utf8=not to.addr_spec.isascii()))


def message_id(key: str, domain: str) -> str:
    """The Message-ID of a notice: the same key gives the same id at every attempt, so that a repeat is seen as one.

    ``domain`` is the sender's; an international one is written in its ASCII form. Raises NoticeRefused for no domain.
    """
    return "<{}>".format(wire_address(f"{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}"))


def _address(name: str | None, address: str) -> Address:
    local_part, _, domain = wire_address(address).rpartition("@")
    return Address(display_name=_literal(one_line(name or "")), username=local_part, domain=domain)


def _literal(text: str) -> str:
    """The text without "=?", which would be decoded, and could decode to a line break."""
    return one_line(text, 998).replace("=?", "= ?")


def _encoding(text: str) -> str:
    """7bit where it fits, so that a kept message can be read as it is; 8bit would need a server with 8BITMIME."""
    fits = text.isascii() and all(len(line) <= LONGEST_LINE for line in text.splitlines())
    return "7bit" if fits else "quoted-printable"
