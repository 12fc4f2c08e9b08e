"""Facts of a row, said in words: dates, the time that is left, amounts, orders. Pure; ``now`` is handed in.

What a row says badly (a broken amount, a name with line breaks, an unknown zone) is said neutrally or left out,
because a front end's slip must not cost anybody the notice. English words are kept here, since strftime follows the
machine's locale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from returnclock.calendars import zone
from returnclock.errors import NoticeRefused, UnknownZone
from returnclock.kinds.wording import RIGHTS_REMAIN, return_cost, way_back, wish

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MICROSECOND = timedelta(microseconds=1)

# C0, DEL and C1; line and paragraph separators; marks that turn the direction of the text around them; lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST_NAME = 120
LONGEST_QUOTE = 500

_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
# ISO 4217 minor units where they are not two.
_MINOR_UNITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"), 0),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The names that a notice's templates may use: every fact, flattened to one line, and these phrases.

    order: "order A-1001", by its number, else by its id.
    case, case_first: "refund 12"; "Refund 12" for the beginning of a sentence.
    money: "EUR 129.90", or None where amount or currency say nothing.
    deadline: the communicated date, to follow "by".
    time_left: "1 day and 3 hours", from now to the communicated date; only before it.
    wish, way_back, return_cost, rights_remain: see ``kinds.wording``.

    Raises NoticeRefused without the communicated date or the present moment.
    """
    names = flattened(facts)
    promised_at, now = _instant(facts, "promised_at"), _instant(facts, "now")
    case = _case(names)
    names |= {
        "case": case,
        "case_first": case[:1].upper() + case[1:],
        "order": _order(names, case),
        "money": money(facts.get("amount"), names.get("currency")),
        "deadline": deadline(promised_at, zone_or_utc(names.get("zone")), names.get("ends")),
        "wish": wish(names.get("dispute_kind")),
        "way_back": way_back(names.get("method")),
        "return_cost": return_cost(names.get("free_return")),
        "rights_remain": RIGHTS_REMAIN,
    }
    if promised_at > now:
        names["time_left"] = time_left(promised_at - now)
    return names


def flattened(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with every text on one line; a blank one becomes None."""
    return {name: _flattened(name, fact) if isinstance(fact, str) else fact for name, fact in facts.items()}


def _flattened(name: str, text: str) -> str | None:
    return one_line(text, LONGEST_QUOTE if name in ("reason", "site_url") else LONGEST_NAME) or None


def one_line(text: str, longest: int = LONGEST_NAME) -> str:
    """The text on one line without control characters, cut where it is longer than anybody reads."""
    # Cut first, roughly: a name of megabytes is not worth looking through.
    start = text[: longest * 4]
    flat = " ".join((start if start.isprintable() else _UNPRINTABLE.sub(" ", start)).split())
    return flat if len(flat) <= longest else flat[:longest].rstrip() + "…"


def money(amount: object, currency: str | None) -> str | None:
    """ "EUR 129.90": with the currency's own decimals, more only where the amount has more; None for what is no sum."""
    code = (currency or "").strip().upper()
    written = format(amount, "f") if isinstance(amount, Decimal) else str(amount).strip()
    if isinstance(amount, bool) or not _CURRENCY.fullmatch(code) or not _AMOUNT.fullmatch(written):
        return None
    try:
        exact = Decimal(written).normalize()
    except InvalidOperation:  # pragma: no cover - the pattern lets only decimals through
        return None
    exponent = exact.as_tuple().exponent
    assert isinstance(exponent, int)
    return f"{code} {exact:.{max(-exponent, _MINOR_UNITS.get(code, 2))}f}"


def deadline(promised_at: datetime, local: ZoneInfo, ends: str | None) -> str:
    """The communicated date, to follow "by": a moment, or the end of the last day of a deadline that ends with a day.

    An extension may have moved the latter into the middle of a day; then the moment is told, because it is the truth.
    """
    moment = promised_at.astimezone(local)
    last = (promised_at - _MICROSECOND).astimezone(local)
    if ends == "end_of_day" and last.date() != moment.date():
        return f"the end of {say_day(last)} ({local.key})"
    ambiguous = moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()
    # The clock shows 01:30 twice when it goes back: only the offset says which.
    offset = f" UTC{moment:%z}" if ambiguous else ""
    return f"{_DAYS[moment.weekday()][:3]} {_date(moment)}, {moment:%H:%M}{offset} ({local.key})"


def say_day(day: datetime) -> str:
    """ "Friday 27 November 2026"."""
    return f"{_DAYS[day.weekday()]} {_date(day)}"


def _date(day: datetime) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def time_left(left: timedelta) -> str:
    """ "1 day and 3 hours": the two largest units, rounded down, so that nobody is told of more time than there is."""
    minutes = int(left.total_seconds()) // 60
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [_many(days, "day"), _many(hours, "hour"), "" if days else _many(minutes, "minute")]
    return " and ".join(part for part in parts if part) or "less than a minute"


def _many(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}" if count else ""


def zone_or_utc(name: str | None) -> ZoneInfo:
    """The named zone, or UTC where the name is missing or unknown."""
    try:
        return zone(name or "UTC")
    except UnknownZone:
        return ZoneInfo("UTC")


def _instant(facts: Mapping[str, Any], name: str) -> datetime:
    moment = facts.get(name)
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise NoticeRefused(reason=f"it cannot be written without {name}, an instant with its zone.")
    return moment


def _case(names: Mapping[str, Any]) -> str:
    table, key = names.get("subject_table") or "case", names.get("subject_id")
    return f"{str(table).removesuffix('s').replace('_', ' ')}{'' if key is None else f' {key}'}"


def _order(names: Mapping[str, Any], case: str) -> str:
    known = names.get("order_number") or names.get("order_id")
    return case if known is None else f"order {known}"
