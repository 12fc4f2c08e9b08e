"""Says what happened, a line at a time, to whoever watches ``returnclock up``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from returnclock.telemetry import Event
from returnclock.up.feed import Happening

MOST_ALONE = 5
IDS_NAMED = 3

_WORDS = {
    Event.NOTICE_SENT: "mailed",
    Event.NOTICE_DEFERRED: "mail waits",
    Event.NOTICE_DEAD: "mail failed",
    Event.NOTICE_SUPPRESSED: "not mailed",
    Event.NOTICE_AMBIGUOUS: "mail unsure",
    Event.NOTICE_REQUEUED: "requeued",
    Event.REMINDER_QUEUED: "reminder",
    Event.REMINDER_SKIPPED: "no reminder",
    "refund:mediation_offered": "mediation",
}
_STYLES = {"mailed": "green", "stamped": "dim", "met": "dim", "voided": "dim", "problem": "red", "mail failed": "red"}
_USUAL_STYLE = "yellow"


@dataclass(frozen=True)
class Line:
    """One line: when, in one word what, and the rest; ``style`` is that of the word."""

    at: datetime
    word: str
    text: str

    @property
    def style(self) -> str:
        """The colour of the word, as rich names it."""
        return _STYLES.get(self.word, _USUAL_STYLE)


def lines(news: Sequence[Happening], here: Path) -> list[Line]:
    """The lines that tell the news. Many of the same event are one line; paths are told as seen from ``here``."""
    told: list[Line] = []
    in_order = {each.event: place for place, each in reversed(list(enumerate(news)))}
    for event, alike in groupby(sorted(news, key=lambda each: in_order[each.event]), key=lambda each: each.event):
        group = list(alike)
        if len(group) > MOST_ALONE:
            told.append(Line(group[-1].at, _word(event), _many(group)))
        else:
            told += [Line(each.at, _word(event), _one(each, here)) for each in group]
    return told


def _word(event: str) -> str:
    known = {str(name): word for name, word in _WORDS.items()}
    return known.get(event) or event.partition(":")[2].replace("_", " ")


def _many(group: Sequence[Happening]) -> str:
    *others, last = sorted({each.subject.removesuffix("s") + "s" for each in group})
    subjects = f"{', '.join(others)} and {last}" if others else last
    named = ", ".join(each.subject_id for each in group[:IDS_NAMED])
    return f"{len(group)} {subjects} ({named}, …)"


def _one(each: Happening, here: Path) -> str:
    about = f"{each.subject} {each.subject_id}".strip()
    if each.event.startswith("notice:"):
        return _notice(each, about, here)
    reason = str(each.detail.get("reason", ""))
    if reason.startswith(about):  # or what happened is about no single row: a hold of a country, a pause
        return reason
    if reason:
        return f"{about}: {reason}"
    if each.event in (Event.STAMPED, Event.REOPENED, Event.REMINDER_QUEUED):
        be = "was" if each.due_at and each.due_at <= each.at else "is"
        return f"{about}: {each.matter} {be} due {_when(each)}{_after(each)}"
    if each.event == Event.MET:
        return f"{about}: {each.matter}, done in time"
    if each.event == Event.VOIDED:
        return f"{about}: {each.matter} is no longer awaited"
    if each.event == Event.REVERTED:
        return f"{about}: opened again after {each.matter} had ended"
    return f"{about}: {each.matter} was due {_when(each)}{_after(each)}"


def _notice(each: Happening, about: str, here: Path) -> str:
    notice, party = each.detail.get("notice", "notice"), each.detail.get("party", "")
    to = " ".join(part for part in (party, each.recipient) if part)
    told = f"{notice} to {to} about {about}" if to else f"{notice} about {about}"
    if each.detail.get("reason"):
        return f"{told}: {each.detail['reason']}"
    return f"{told} -> {seen_from(here, each.letter)}" if each.letter else told


def _after(each: Happening) -> str:
    return f" ({each.period})" if each.period else ""


def _when(each: Happening) -> str:
    """The due moment in the watcher's own zone; with its date unless that is the day of the event."""
    if each.due_at is None:
        return "at no known time"
    due, at = each.due_at.astimezone(), each.at.astimezone()
    if due.date() == at.date():
        return f"{due:%H:%M}"
    return f"{due.day} {due:%b %H:%M}" if due.year == at.year else f"{due.day} {due:%b %Y %H:%M}"


def seen_from(here: Path, path: Path) -> Path:
    """The path as somebody in the folder ``here`` would write it."""
    return path.relative_to(here) if path.is_relative_to(here) else path
