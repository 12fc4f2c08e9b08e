"""Preview: what a rulebook would do to the open deadlines, and to the rows that have none yet. Read-only.

Sums up what `recount` judges; keeps counts and a few samples of each case, so its memory does not grow with the market.
Imports recount and reconcile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from returnclock.clock import Clock
from returnclock.database import reading
from returnclock.errors import BadPolicy
from returnclock.facts import count, read_facts
from returnclock.kinds import DeadlineKind
from returnclock.reconcile import pages, unstamped
from returnclock.recount import CHANGES, Case, Move, recounted
from returnclock.rulebook import Rulebook
from returnclock.starts import anchor_fault, order_fault
from returnclock.tables.clock import events, policies
from returnclock.tables.keys import keys_of

_PAGE = 1000
_WORDS = {
    "period": "period",
    "ends": "end",
    "roll": "roll",
    "grace": "grace",
    "calendar": "whose calendar",
    "remind": "reminders",
}


@dataclass
class KindPreview:
    """One kind: how many open deadlines are in each case, how many rows would get a new deadline, and samples of both.

    new: ``would start`` in the future, ``would fire now`` of old rows, ``uncountable`` or with dates that cannot be used.
    """

    cases: Counter[str] = field(default_factory=Counter)
    new: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Preview:
    """All kinds that have open deadlines or rows without one, by name; instants in UTC."""

    at: datetime
    kinds: dict[str, KindPreview] = field(default_factory=lambda: defaultdict(KindPreview))

    def total(self, *cases: Case) -> int:
        """How many open deadlines are in any of the cases."""
        return sum(kind.cases[case] for kind in self.kinds.values() for case in cases)

    def total_new(self, *words: str) -> int:
        """How many rows without a deadline would get one that is in any of the words of ``KindPreview.new``."""
        return sum(kind.new[word] for kind in self.kinds.values() for word in words)

    def as_json(self) -> dict[str, Any]:
        """The same, ready for JSON but for its instants."""
        return {
            "at": self.at,
            "examined": self.total(*Case),
            "moves": self.total(*CHANGES),
            "would_fire_now": self.total(Case.FIRES_NOW),
            "would_start": self.total_new("would start", "would fire now"),
            "new_would_fire_now": self.total_new("would fire now"),
            "by_kind": {
                name: {"open": dict(kind.cases), "new": dict(kind.new), "samples": dict(kind.samples)}
                for name, kind in self.kinds.items()
            },
        }


def preview(
    engine: Engine, clock: Clock, book: Rulebook, *, kinds: Sequence[DeadlineKind] | None = None, samples: int = 3
) -> Preview:
    """Judge every open deadline of the kinds (default: all that are installed) by the book, and change nothing."""
    with reading(engine) as connection:
        found = Preview(clock.now(connection))
    chosen = book.kinds if kinds is None else kinds
    for kind, moves, _ in recounted(engine, clock, book, chosen, size=_PAGE):
        told = found.kinds[kind.name]
        for move in moves:
            told.cases[move.case] += 1
        shown = [move for move in moves if move.case is not Case.UNCHANGED and len(told.samples[move.case]) < samples]
        _show(engine, kind, told, shown, samples)
    for kind in chosen:
        if kind.name in book.rules:
            _preview_new(engine, book, kind, found, samples)
    for kind_found in found.kinds.values():
        kind_found.samples = {case: shown for case, shown in kind_found.samples.items() if shown}
    return found


def _show(engine: Engine, kind: DeadlineKind, told: KindPreview, moves: Sequence[Move], samples: int) -> None:
    for move in moves:
        if len(told.samples[move.case]) < samples:
            with reading(engine) as connection:
                told.samples[move.case].append(_sample(connection, kind, move))


def _sample(connection: Connection, kind: DeadlineKind, move: Move) -> dict[str, Any]:
    kept, counted = move.kept, move.counted
    shown = {
        "deadline_id": kept.id,
        "subject": f"{kind.subject.name} {kept.subject_id}",
        "before": {"promised_at": kept.promised_at, "due_at": kept.due_at},
        "after": None,
        "why": move.reason or str(move.case),
    }
    if counted is not None and move.case is not Case.PROMISED:
        shown["after"] = {"promised_at": counted.reckoning.promised_at, "due_at": counted.reckoning.due_at}
        shown["why"] = _why(connection, move)
    return shown


def _why(connection: Connection, move: Move) -> str:
    """What has changed since the date was given: the rule, the zone, the calendar, or the days of the same calendar."""
    kept, counted = move.kept, move.counted
    assert counted is not None
    if counted.policy.digest != move.digest:
        old = connection.execute(select(policies.c.definition).where(policies.c.id == kept.policy_id)).scalar_one()
        new = counted.policy.definition()
        differ = [f"{_WORDS[name]} {_said(old.get(name))} -> {_said(new[name])}" for name in new if old.get(name) != new[name]]
        return "the rule: " + "; ".join(differ)
    for word, before, after in (
        ("time zone", kept.schedule["zone"], counted.zone),
        ("calendar", kept.schedule["calendar"], counted.calendar),
    ):
        if before != after:
            return f"the {word}: {before} -> {after}"
    return f"the days of calendar {counted.calendar}{_other_days(connection, move)}"


def _said(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _other_days(connection: Connection, move: Move) -> str:
    """The days that only one of the two countings skipped or added, from the steps that the ledger keeps."""
    assert move.counted is not None
    about = select(events.c.detail).where(events.c.deadline_id == move.kept.id).order_by(events.c.id.desc())
    steps = next((row.detail["steps"] for row in connection.execute(about) if row.detail and "steps" in row.detail), None)
    if steps is None:
        return ""
    now = move.counted.reckoning.steps
    new = [f"now: {step}" for step in now if step not in steps and _tells_a_day(step)]
    old = [f"before: {step}" for step in steps if step not in now and _tells_a_day(step)]
    return ": " + " ".join((new + old)[:3]) if new or old else ""


def _tells_a_day(step: str) -> bool:
    return "skipped" in step or "adds" in step


def _preview_new(engine: Engine, book: Rulebook, kind: DeadlineKind, found: Preview, samples: int) -> None:
    """The rows that run and have no deadline: each would get one by the next reconcile, and some would fire at once."""
    for page in pages(engine, partial(unstamped, kind, book)):
        with reading(engine) as connection:
            rows = read_facts(connection, kind, keys_of([row.subject_id for row in page], kind.subject_key))
        told = found.kinds[kind.name]
        for row in rows:
            case, shown = _new_case(book, kind, row, found.at)
            told.new[case] += 1
            listed = told.samples[f"new, {case}"]
            if len(listed) < samples:
                listed.append(shown)


def _new_case(book: Rulebook, kind: DeadlineKind, row: Row[Any], now: datetime) -> tuple[str, dict[str, Any]]:
    shown: dict[str, Any] = {
        "deadline_id": None,
        "subject": f"{kind.subject.name} {row.subject_id}",
        "before": None,
        "after": None,
    }
    fault = order_fault(kind, row) or anchor_fault(kind, row, now)
    if fault is not None:
        return "uncountable", shown | {"why": fault.problem}
    try:
        new = count(book, kind, row, row.starts_at).reckoning
    except BadPolicy as refused:
        return "uncountable", shown | {"why": str(refused)}
    shown["after"] = {"promised_at": new.promised_at, "due_at": new.due_at}
    shown["why"] = f"it runs since {row.starts_at:%Y-%m-%d %H:%M} UTC and has no deadline yet"
    return ("would fire now" if new.due_at <= now else "would start"), shown
