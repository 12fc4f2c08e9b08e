"""Finds what is wrong with a front end's rows, and says what to do about it.

A row that can still be worked with falls back, and its fault says to what. Imports rulebook, calendars, mail and tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.numbers import list_currencies
from sqlalchemy import ColumnElement, Connection, String, Table, cast, exists, select

from returnclock.calendars import CalendarBook, zone
from returnclock.errors import ReturnclockError, UnknownZone
from returnclock.kinds import DeadlineKind
from returnclock.mail import address_fault
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import problems
from returnclock.tables.keys import among, as_text
from returnclock.tables.market import buyers, orders, refunds, sellers
from returnclock.tables.types import Unreadable, legible

# A front end's clock may run ahead of the database's; beyond that a date in the future is a mistake, such as local time.
CLOCK_SKEW = timedelta(minutes=5)
# Before there were marketplaces: what an unset date turns into in most languages (1970, 1900, year 1).
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LONGEST_NAME = 200
# The faults that keep a clock from starting.
NO_START = ("overdue_start", "missing_date", "unreadable_date", "future_date", "ancient_date")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one row; ``code`` is the same for the same mistake, ``problem`` is for people."""

    table_name: str
    subject_id: str
    code: str
    problem: str
    kind: str = ""


def faults_of_rows(connection: Connection, book: Rulebook, table_name: str, ids: Sequence[Any]) -> list[Fault]:
    """Look at rows of the market's tables for what is wrong with them whatever the deadline."""
    if not ids or table_name not in _CHECKS or book.market[table_name].fixed:
        return []
    columns, check = _CHECKS[table_name]
    place = book.market[table_name]
    asked = [column.label(column.name) for column in columns]
    chosen = book.market.translate(select(as_text(place.key).label("id"), *asked)).select_from(place.source)
    rows: Sequence[Any] = connection.execute(chosen.where(among(place.key, ids), *place.only)).all()
    if connection.dialect.name == "sqlite":  # the only one that keeps bytes in a column of text
        rows = [SimpleNamespace(**{name: legible(value) for name, value in row._mapping.items()}) for row in rows]
    return [Fault(table_name, row.id, code, problem) for row in rows for code, problem in check(book, row)]


def is_sound_order(book: Rulebook, row: Any) -> bool:
    """Whether facts that were read with an order show that nothing is wrong with it, so that it need not be looked at again."""
    found = row.seller_id is not None and row.buyer_id is not None
    return found and _is_plain(row.number) and _is_place(book.calendars, row.country, row.subdivision)


def _is_plain(text: Any) -> bool:
    return text is None or (isinstance(text, str) and len(text) <= LONGEST_NAME and text.isprintable())


@lru_cache(4096)
def _is_place(calendars: CalendarBook, country: str | None, subdivision: str | None) -> bool:
    try:
        return not country or bool(calendars.get(country, subdivision or None))
    except ReturnclockError:
        return False


def anchor_fault(kind: DeadlineKind, row: Any, now: datetime) -> Fault | None:
    """Why a running row's clock cannot start, if it cannot: no date, an unreadable one, one in the future or long past."""
    starts_at, *anchors = _dates(len(kind.anchors))(row)
    if Unreadable not in map(type, anchors) and starts_at is not None and EARLIEST <= starts_at <= now + CLOCK_SKEW:
        return None

    def fault(code: str, problem: str) -> Fault:
        return Fault(kind.subject.name, row.subject_id, code, problem, kind.name)

    columns = " or ".join(kind.anchor_places)
    of = f"{kind.subject.name} {row.subject_id}"
    for name, written in zip(kind.anchor_places, anchors, strict=True):
        if isinstance(written, Unreadable):
            return fault(
                "unreadable_date",
                f'{of}: {name} is "{written}", which is not a date. Write ISO 8601 in UTC, such as 2026-11-27 17:40:00. '
                f"Until then {kind.title} has no deadline.",
            )
    if row.starts_at is None:
        return fault("missing_date", f"{of}: {kind.title} has no deadline, because {columns} is empty. Write the date.")
    by_fallback = bool(kind.fallback) and row.anchor_0 is None
    if row.starts_at > now + CLOCK_SKEW and not by_fallback:
        return fault(
            "future_date",
            f"{of}: {columns} is {row.starts_at:%Y-%m-%d %H:%M} UTC, in the future. Nothing has happened yet that could start "
            f"{kind.title}; mend the date (is it local time?), or it starts by itself when the moment comes.",
        )
    if row.starts_at < EARLIEST:
        return fault(
            "ancient_date",
            f"{of}: {columns} is {row.starts_at:%Y-%m-%d}, as an unset date often is. Write the real date; "
            f"until then {kind.title} has no deadline.",
        )
    return None


@cache
def _dates(anchors: int) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter("starts_at", *(f"anchor_{number}" for number in range(anchors)))


def start_fault(kind: DeadlineKind, row: Any, expected_before: datetime) -> Fault | None:
    """That a row's clock should long have started and cannot, because the date that starts it was never written."""
    expected = row.start_expected_at
    if expected is None or isinstance(expected, Unreadable) or not EARLIEST <= expected < expected_before:
        return None
    columns = " or ".join(kind.anchor_places)
    said = (
        f"{kind.subject.name} {row.subject_id} was expected by {expected:%Y-%m-%d} and has no {columns}. If it has "
        f"happened, write the date: until then {kind.title} is not counted."
    )
    return Fault(kind.subject.name, row.subject_id, "overdue_start", said, kind.name)


def order_fault(kind: DeadlineKind, row: Any) -> Fault | None:
    """That a row's order does not exist, so that neither its parties nor its calendar are known."""
    if kind.order_id is None or row.order_id is not None:
        return None
    of = f"{kind.subject.name} {row.subject_id}"
    named = "has no order_id" if row.written_order_id is None else f"names order {row.written_order_id}, which does not exist"
    return Fault(
        kind.subject.name,
        row.subject_id,
        "no_order",
        f"{of} {named}. Insert the order or mend order_id; until then it gets no new deadline.",
    )


def no_address(table_name: str, subject_id: str) -> Fault:
    """That a notice could not go out for want of an address; a party to whom none is due may well have none."""
    said = f"{table_name} {subject_id} has no e-mail address, so no notice can reach it. Write {table_name}.email and requeue."
    return Fault(table_name, subject_id, "no_address", said)


def _missed(party: Table) -> ColumnElement[bool]:
    """Whether a notice was missed for want of an address: delivery saw it, and it is true until the address is written."""
    of_it = (problems.c.table_name == party.name, problems.c.subject_id == as_text(party.c.id))
    return exists().where(*of_it, problems.c.code == "no_address", problems.c.resolved_at.is_(None)).correlate(party)


def _party(word: str) -> Callable[[Rulebook, Any], Iterator[tuple[str, str]]]:
    def check(book: Rulebook, row: Any) -> Iterator[tuple[str, str]]:
        of = f"{word}s {row.id}"
        try:
            zone(row.time_zone or "UTC")
        except UnknownZone as fault:
            yield "unknown_time_zone", f"{of}: {fault} Until then days are counted in the market's zone, {book.market_zone}."
        if row.locale and not _is_locale(row.locale):
            yield (
                "unknown_locale",
                f'{of}: there is no locale "{row.locale[:40]}". Notices go out in English until it is mended.',
            )
        if not row.email and row.missed:
            yield "no_address", no_address(f"{word}s", row.id).problem
        wrong = address_fault(row.email) if row.email else None
        if wrong:
            yield "bad_address", f"{of}: {wrong} No notice can reach this {word} until {word}s.email is mended."
        yield from _place(book, of, row, f"for policies that count by the {word}'s calendar ")
        yield from _name(of, "name", row.name)

    return check


def _order(book: Rulebook, row: Any) -> Iterator[tuple[str, str]]:
    of = f"orders {row.id}"
    yield from _place(book, of, row, "")
    yield from _name(of, "number", row.number)
    for word, wanted, found in (("seller", row.seller_id, row.seller), ("buyer", row.buyer_id, row.buyer)):
        if found is None and not book.market[f"{word}s"].absent:
            named = f"names {word} {wanted}, who does not exist" if wanted is not None else f"has no {word}_id"
            yield (
                f"no_{word}",
                f"{of} {named}. Days of the {word} are counted in the market's zone, {book.market_zone}, and no notice "
                f"can reach them. Insert the {word} or mend {word}_id.",
            )


def _refund(book: Rulebook, row: Any) -> Iterator[tuple[str, str]]:
    of = f"refunds {row.id}"
    if row.currency and row.currency.upper() not in list_currencies():
        yield (
            "unknown_currency",
            f'{of}: "{row.currency[:20]}" is no ISO 4217 currency. Notices name no amount until it is mended.',
        )
    if row.amount is not None and not _is_amount(row.amount):
        yield (
            "bad_amount",
            f'{of}: the amount "{row.amount[:40]}" is no sum of money. Notices name no amount until it is mended.',
        )


def _place(book: Rulebook, of: str, row: Any, scope: str) -> Iterator[tuple[str, str]]:
    try:
        if row.country:
            book.calendars.get(row.country, row.subdivision or None)
    except ReturnclockError as fault:
        code = "unknown_subdivision" if "subdivision" in type(fault).__name__.lower() else "unknown_country"
        instead = f"{row.country}'s" if code == "unknown_subdivision" else f"the market's own ({book.calendars.default.name})"
        yield code, f"{of}: {fault} Until then {scope}business days are those of {instead} calendar."


def _name(of: str, column: str, value: str | None) -> Iterator[tuple[str, str]]:
    if value and len(value) > LONGEST_NAME:
        yield f"long_{column}", f"{of}: {column} has {len(value)} characters. Notices show only its beginning."
    if value and _CONTROL.search(value, 0, LONGEST_NAME):
        yield f"broken_{column}", f"{of}: {column} has line breaks or control characters. Notices show spaces in their place."


@lru_cache(1024)
def _is_locale(name: str) -> bool:
    try:
        return bool(Locale.parse(name.replace("-", "_")))
    except (UnknownLocaleError, ValueError, TypeError):
        return False


def _is_amount(written: str) -> bool:
    try:
        amount = Decimal(written)
        return amount.is_finite() and amount >= 0
    except InvalidOperation:
        return False


def _but_id(party: Table) -> list[ColumnElement[Any]]:
    return [column for column in party.columns if not column.primary_key]


_found = (
    select(sellers.c.id).where(sellers.c.id == orders.c.seller_id).scalar_subquery().label("seller"),
    select(buyers.c.id).where(buyers.c.id == orders.c.buyer_id).scalar_subquery().label("buyer"),
)
_CHECKS: dict[str, tuple[Sequence[Any], Callable[[Rulebook, Any], Iterator[tuple[str, str]]]]] = {
    "sellers": ((*_but_id(sellers), _missed(sellers).label("missed")), _party("seller")),
    "buyers": ((*_but_id(buyers), _missed(buyers).label("missed")), _party("buyer")),
    "orders": (
        (orders.c.number, orders.c.country, orders.c.subdivision, orders.c.seller_id, orders.c.buyer_id, *_found),
        _order,
    ),
    "refunds": (
        (refunds.c.currency, cast(refunds.c.amount, String(60)).label("amount")),
        _refund,
    ),
}
