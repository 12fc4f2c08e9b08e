"""Finds what is wrong with a front end's rows, and says what to do about it.

A row that can still be worked with falls back, and its fault says to what. Imports rulebook, calendars, mail and tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.numbers import list_currencies
from sqlalchemy import ColumnElement, Connection, String, Table, cast, exists, select

from returnclock.calendars import CalendarBook, zone
from returnclock.database import all_rows
from returnclock.errors import ReturnclockError, UnknownZone
from returnclock.facts import calendar_or_default
from returnclock.mail import address_fault
from returnclock.rulebook import Rulebook
from returnclock.tables.clock import problems
from returnclock.tables.interventions import vacations
from returnclock.tables.keys import among, as_text
from returnclock.tables.market import buyers, orders, refunds, sellers
from returnclock.tables.types import legible
from returnclock.vacations import wrong_with

LONGEST_NAME = 200
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
    rows: Sequence[Any] = all_rows(connection, chosen.where(among(place.key, ids), *place.only))
    if connection.dialect.name == "sqlite":  # the only one that keeps bytes in a column of text
        rows = [SimpleNamespace(**{name: legible(value) for name, value in row._mapping.items()}) for row in rows]
    return [Fault(table_name, row.id, code, problem) for row in rows for code, problem in check(book, row)]


def faults_of_vacations(connection: Connection, ids: Sequence[int]) -> list[Fault]:
    """Look at rows of ``clock_vacations`` for what keeps them from granting any day."""
    chosen = select(vacations).where(among(vacations.c.id, ids), vacations.c.removed_at.is_(None))
    return [_bad_vacation(row, reason) for row in all_rows(connection, chosen) if (reason := wrong_with(row))]


def _bad_vacation(row: Any, reason: str) -> Fault:
    said = f"{vacations.name} {row.id}, of seller {row.seller_id}, grants no day: {reason}. Write its days such as 2026-12-21."
    return Fault(vacations.name, str(row.id), "bad_vacation", said)


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
        instead = calendar_or_default(book.calendars, row.country, row.subdivision).name
        yield code, f"{of}: {fault} Until then {scope}business days are those of the calendar {instead}."


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
