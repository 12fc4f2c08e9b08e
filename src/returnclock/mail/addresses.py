"""E-mail addresses: whether one can be written to, and how it is written on the wire. Asks no name server."""

from __future__ import annotations

import re
from email.utils import parseaddr
from functools import lru_cache

from returnclock.errors import NoticeRefused

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST = 254  # RFC 5321 4.5.3.1.3, with errata 1690


def address_fault(address: str | None) -> str | None:
    """Why no mail can go to this address, as a sentence; None when it is in order.

    Only the form is checked. Names such as ``localhost`` and ``.test`` are in order: a relay of one's own may know
    them.
    """
    return _checked(address or "")[0]


def wire_address(address: str) -> str:
    """The address as a mail server is told it: an international domain in its ASCII form (RFC 5890).

    It stays non-ASCII only where the part before the @ is, which takes a server with SMTPUTF8. Raises NoticeRefused for
    what is no address.
    """
    fault, written = _checked(address)
    if fault is not None:
        raise NoticeRefused(reason=fault)
    return written


@lru_cache(maxsize=64)  # of the settings, for every letter
def mailbox(text: str) -> tuple[str | None, str]:
    """Name and address of ``Shop <returns@shop.example>``; the name is None where there is only an address."""
    name, address = parseaddr(text)
    return name or None, address or text


# A party's address is read at each of its notices; the largest markets hold some thousand busy sellers.
@lru_cache(maxsize=8192)
def _checked(address: str) -> tuple[str | None, str]:
    """The fault, or None and the address as written on the wire."""
    from email_validator import EmailNotValidError, validate_email

    plain = address.strip(" ")
    if not plain:
        return "There is no e-mail address.", ""
    if _CONTROL.search(plain):
        return "The e-mail address holds a line break or a control character.", ""
    if len(plain) > _LONGEST:
        return f"The e-mail address is too long: it has {len(plain)} characters, and {_LONGEST} are allowed.", ""
    # The validator refuses names of special use; behind the one name that it allows for tests, they are names like
    # others.
    suffix = ".test" if _special(plain) else ""
    try:
        valid = validate_email(plain + suffix, check_deliverability=False, test_environment=True, globally_deliverable=False)
    except EmailNotValidError as error:
        reason = str(error)
        return f'"{plain[:80]}" is not an e-mail address: {reason[:1].lower()}{reason[1:]}', ""
    return None, (valid.ascii_email or valid.normalized).removesuffix(suffix)


def _special(address: str) -> bool:
    from email_validator import SPECIAL_USE_DOMAIN_NAMES

    domain = address.rpartition("@")[2].lower()
    return any(domain == name or domain.endswith(f".{name}") for name in SPECIAL_USE_DOMAIN_NAMES if name != "test")
