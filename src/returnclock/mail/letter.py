"""Writes the letter of a notice, and the digest of many, as plain text and as HTML with the same words. Pure.

A notice's templates are the kinds' own and trusted; the facts come from a front end and are not: they are flattened
to one line each, so that they cannot part paragraphs, and escaped in the HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, UndefinedError, select_autoescape

from returnclock.errors import NoticeRefused
from returnclock.kinds import Notice, Party
from returnclock.mail.phrases import flattened, one_line, say_day, told, zone_or_utc

LONGEST_SUBJECT = 150
# A thousand lines are some 300 kB in both forms; mail servers take 10 MB, but nobody reads on.
MOST_DIGEST_LINES = 1000


@dataclass(frozen=True)
class Letter:
    """A notice in words: ``subject`` is one line; ``text`` and ``html`` say the same."""

    subject: str
    text: str
    html: str


def write_letter(notice: Notice, facts: Mapping[str, Any]) -> Letter:
    """The letter of one notice, from its row's facts (see ``phrases.told`` for the names that templates may use).

    Raises NoticeRefused where it cannot be written: its template names what is unknown, or a reminder comes after the
    deadline that it reminds of.
    """
    names = told(facts)
    if notice.moment == "reminder" and "time_left" not in names:
        raise NoticeRefused(reason=f"it would remind of a date that has passed, {names['deadline']}.")
    name = None if notice.to is Party.PLATFORM else names.get("recipient_name")
    return _laid_out(
        subject=_rendered(notice.subject, names),
        greeting=f"Hello {name}," if name else "Hello,",
        paragraphs=_paragraphs(notice.body, names),
        items=[],
        market=names,
    )


def write_digest(rows: Sequence[tuple[Notice, Mapping[str, Any]]], market: Mapping[str, Any] | None = None) -> Letter:
    """One letter to the operators for many notices: one line each, in the order given.

    ``market``: market_name, site_url, zone (of the market) and now; without it, as the first row has them. A row that
    cannot be said gets a line that names it, so that it does not hide those beside it.
    """
    names = flattened(rows[0][1] if market is None else market)
    # One refund may have overrun two stages; it is counted once.
    cases = {(facts.get("subject_table"), facts.get("subject_id")) for _, facts in rows}
    noun = "refund" if all(table == "refunds" for table, _ in cases) else "case"
    summary = f"1 {noun} is over its time" if len(cases) == 1 else f"{len(cases)} {noun}s are over their time"
    today = say_day(names["now"].astimezone(zone_or_utc(names.get("zone"))))
    items = [_digest_line(notice, facts) for notice, facts in rows[:MOST_DIGEST_LINES]]
    if len(rows) > len(items):
        items.append(f"and {len(rows) - len(items)} more, which clock_events tells of.")
    return _laid_out(subject=f"{summary} ({today})", greeting="Hello,", paragraphs=[f"{summary}:"], items=items, market=names)


def _digest_line(notice: Notice, facts: Mapping[str, Any]) -> str:
    try:
        return " ".join(_paragraphs(notice.body, told(facts)))
    except NoticeRefused as refused:
        return one_line(f"{facts.get('subject_table')} {facts.get('subject_id')}: {refused}", 500)


def _laid_out(
    *, subject: str, greeting: str, paragraphs: Sequence[str], items: Sequence[str], market: Mapping[str, Any]
) -> Letter:
    name = market.get("market_name") or "the marketplace"
    title = one_line(subject, LONGEST_SUBJECT)
    words = {
        "subject": title,
        "greeting": greeting,
        "paragraphs": paragraphs,
        "items": items,
        "signature": name[:1].upper() + name[1:],
        "site_url": _link(market.get("site_url")),
    }
    text, html = (_layout(form).render(words) for form in ("letter.txt", "letter.html"))
    return Letter(title, text, html)


def _link(site_url: str | None) -> str | None:
    """The site's address where it is one: anything else in an href could be a script."""
    return site_url if site_url and re.match(r"https?://", site_url) else None


def _paragraphs(body: str, names: Mapping[str, Any]) -> list[str]:
    parts = re.split(r"\n[ \t]*\n", _rendered(body, names))
    return [paragraph for part in parts if (paragraph := " ".join(part.split()))]


def _rendered(source: str, names: Mapping[str, Any]) -> str:
    try:
        return _compiled(source).render(names)
    # A shop's own kind may divide by zero in its template; that costs its notice and no other.
    except Exception as error:
        raise NoticeRefused(reason=f"its template cannot be filled in: {one_line(str(error), 300)}.") from error


def _never_none(value: Any) -> Any:
    """A letter that says "None" is worse than none; a template asks first whether a fact is known."""
    if value is None:
        raise UndefinedError("it prints a fact that is not known; ask {% if … %} first")
    return value


# Paragraphs are put together as plain text and escaped by the layout: escaped here, the plain text would say &amp;.
_notices = Environment(autoescape=False, undefined=StrictUndefined, finalize=_never_none)
_layouts = Environment(
    loader=PackageLoader("returnclock.mail", "layouts"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # it would look at the file's date for every letter
)


@lru_cache(maxsize=512)
def _compiled(source: str) -> Template:
    return _notices.from_string(source)


def _layout(name: str) -> Template:
    return _layouts.get_template(name)  # compiled once; the environment keeps it
