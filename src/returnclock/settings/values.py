"""Readers of one value each: they return what TOML or the environment gave, checked, or raise ``ValueError``.

The text of the ``ValueError`` ends the fault's sentence; whoever calls puts the place before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from returnclock.errors import SettingsError

Reader = Callable[[Any], Any]

_DURATION = re.compile(r"(\d+(?:\.\d+)?) +(second|minute|hour|day)s?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_LONGEST_S = 36525 * 86400  # a century; more is a slip of the pen, and would overflow dates further down
_TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a fraction",
    str: "a text",
    list: "a list",
    dict: "a table",
}
LARGEST_BATCH = 100_000
MOST_CONNECTIONS = 100
MOST_MAIL_CONNECTIONS = 16
LARGEST_BURST = 10_000_000


def type_name(raw: object) -> str:
    """The operator's word for the type of a value; faults name it where the value may be a secret."""
    return _TYPES.get(type(raw), "a date or a time")


def text(raw: object) -> str:
    """A text of one line that is not blank."""
    if not isinstance(raw, str):
        raise ValueError(f"this is {type_name(raw)}; write a text in quotes")
    if not raw.strip():
        raise ValueError("the text is empty; remove the setting to get its default")
    if _CONTROL.search(raw):
        raise ValueError("the text holds a line break or a control character; write it on one line")
    return raw.strip()


def whole_number(raw: object, largest: int) -> int:
    """A whole number from 1 to ``largest``."""
    if isinstance(raw, bool) or not isinstance(raw, int):
        shown = repr(raw) if isinstance(raw, str) else f"this is {type_name(raw)} and"
        raise ValueError(f"{shown} is not a whole number; write digits only")
    if not 1 <= raw <= largest:
        raise ValueError(f"{raw} is out of range; write a number from 1 to {largest}")
    return raw


def batch_size(raw: object) -> int:
    """Rows a batch."""
    return whole_number(raw, LARGEST_BATCH)


def timeout(raw: object) -> int:
    """Whole seconds: three answers and two minutes for the last must fit into a task, and into the lease of a letter."""
    return whole_number(raw, 45)


def pool_size(raw: object) -> int:
    """Connections of one process to the database."""
    return whole_number(raw, MOST_CONNECTIONS)


def mail_connections(raw: object) -> int:
    """Connections of one round of letters to the mail server; relays refuse more, and each letter in hand has at most one."""
    return whole_number(raw, MOST_MAIL_CONNECTIONS)


def burst(raw: object) -> int:
    """Deadlines of one kind that may take effect within a minute."""
    return whole_number(raw, LARGEST_BURST)


def listen(raw: object) -> str:
    """Address and TCP port to listen on."""
    written = text(raw)
    host, _, port = written.rpartition(":")
    if not host or not re.fullmatch(r"\d{1,5}", port) or not 1 <= int(port) <= 65535 or (":" in host and "[" not in host):
        raise ValueError(f"{written!r} is not an address with a port; write '127.0.0.1:9464' or '[::1]:9464'")
    return written


def token(raw: object) -> str:
    """A secret that nobody can guess; a short one could be tried out."""
    written = text(raw)
    if len(written) < 16 or not re.fullmatch(r"[\x21-\x7e]+", written):
        # The value itself stays out of the message.
        raise ValueError("the token is shorter than 16 signs, or not plain ASCII; make one with: openssl rand -hex 24")
    return written


def season_days(raw: object) -> int:
    """Calendar days of a peak season or of the vacations of a year, up to a year."""
    return whole_number(raw, 366)


def _length(written: str) -> float:
    match = _DURATION.fullmatch(written)
    if match is None:
        raise ValueError(
            f"{written!r} is not a duration; write a number and seconds, minutes, hours or days, such as '5 minutes'"
        )
    length = float(match[1]) * _SECONDS[match[2]]
    if not 0 < length <= _LONGEST_S:
        raise ValueError(f"{written!r} is out of range; write more than zero and at most a hundred years")
    return length


def duration(raw: object) -> str:
    """A duration such as "5 minutes", kept as written."""
    written = text(raw)
    _length(written)
    return written


def fallback(raw: object) -> dict[str, str]:
    """From which column a clock is counted while its own date is not known, and how long after it."""
    if not isinstance(raw, dict) or raw.keys() != {"from", "after"}:
        raise ValueError("write such as { from = 'estimated_delivery_at', after = '10 days' }, with just these two")
    return {"from": text(raw["from"]), "after": duration(raw["after"])}


def duration_or_none(raw: object) -> str:
    """A duration, or "none" for a guard that is off."""
    return "none" if raw == "none" else duration(raw)


def seconds(written: str) -> float:
    """The length in seconds of a duration such as "10 minutes" or "0.5 seconds".

    Raises SettingsError when it is none. Business days have no length in seconds and are none.
    """
    try:
        return _length(written.strip())
    except ValueError as wrong:
        raise SettingsError(faults=[str(wrong)]) from None


def day(raw: object) -> date:
    """A date: TOML's own, or a text YYYY-MM-DD."""
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw
    shown = repr(raw) if isinstance(raw, str) else "this"
    # date.fromisoformat alone also takes 20261224 and 2026-W52-4, which nobody means in a list of closures.
    if isinstance(raw, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", raw):
        try:
            return date.fromisoformat(raw)
        except ValueError:
            raise ValueError(f"{shown} is no day of the calendar; check the month and the day") from None
    raise ValueError(f"{shown} is not a date; write YYYY-MM-DD")


def date_or_instant(raw: object) -> object:
    """A date or an ISO 8601 time, kept as given: whoever applies the policy knows its zone."""
    if isinstance(raw, date):
        return raw
    if isinstance(raw, str):
        try:
            datetime.fromisoformat(raw)
        except ValueError:
            pass
        else:
            return raw
    shown = repr(raw) if isinstance(raw, str) else "this"
    raise ValueError(f"{shown} is not a date or a time; write 2026-12-18 or 2026-12-18T16:00:00+01:00")


def time_of_day(raw: object) -> str:
    """A time of day, as HH:MM; TOML's own local time is taken too."""
    if isinstance(raw, time):
        return raw.strftime("%H:%M")
    written = text(raw)
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", written):
        raise ValueError(f"{written!r} is not a time of day; write HH:MM, such as '07:00'")
    return written


def mailbox(raw: object) -> str:
    """An e-mail address, with or without a name. Only the form is checked here; ``localhost`` needs no dot."""
    written = text(raw)
    address = parseaddr(written)[1]
    local, at, domain = address.rpartition("@")
    if not (at and local and domain) or re.search(r"\s", address):
        raise ValueError(f"{written!r} is not an e-mail address; write 'Shop <returns@shop.example>'")
    return written


def site(raw: object) -> str:
    """The http or https address of the shop, which links in notices begin with."""
    written = text(raw)
    try:
        parts = urlsplit(written)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{written!r} is not a web address; write 'https://shop.example'")
    return written


def switch(raw: object) -> bool:
    """Yes or no: TOML's own, or the same words in a variable."""
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in ("true", "false"):
        return raw.strip().lower() == "true"
    shown = repr(raw) if isinstance(raw, str) else f"this is {type_name(raw)} and"
    raise ValueError(f"{shown} is neither true nor false; write one of the two, without quotes")


def file(raw: object) -> str:
    """The path of a file that must be there: without it, every connection would fail, and each process would try for ever."""
    path = Path(text(raw)).expanduser().absolute()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return str(path)


def key_prefix(raw: object) -> str:
    """What begins every key in a shared Redis. It ends in a sign that parts it from the rest, as Celery would have it."""
    written = text(raw)
    if not re.fullmatch(r"[A-Za-z0-9][\w:.-]*[:_.-]", written, re.ASCII):
        raise ValueError(
            f"{written!r} is not a prefix of keys; write letters and digits with a colon at the end, such as 'shop:'"
        )
    return written


def log_format(raw: object) -> str:
    """How log lines are written: for eyes or for machines."""
    written = text(raw)
    if written not in ("console", "json"):
        raise ValueError(f"{written!r} is not a log format; write 'console' or 'json'")
    return written


def dotted_name(raw: object) -> str:
    """Where a shop's own kind of deadline is found: ``package.module:NAME``."""
    written = text(raw)
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", written):
        raise ValueError(f"{written!r} does not name a kind; write it as 'myshop.deadlines:PARCEL_PICKUP'")
    return written
