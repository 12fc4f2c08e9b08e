"""Telling: every event of the ledger as one sentence, for a stranger at three in the morning. Pure. Imports kinds and scopes.

An event of a kind that is not known here, of a shop's own or of a newer version, is told from its name, ``subject:action``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from returnclock.kinds import DeadlineKind
from returnclock.kinds.wording import Words
from returnclock.scopes import Scope
from returnclock.telemetry import Event


def sentence(event: Mapping[str, Any], kind: DeadlineKind | None = None) -> str:
    """What happened, in one sentence that needs no other; who did it and when is for the caller to add."""
    name, detail = str(event["event"]), event["detail"] or {}
    if name in _SENTENCES:
        return _SENTENCES[name](detail, kind)
    if kind is not None and name == kind.event:
        # By hand it also takes effect before the time is up.
        up = f"Time was up for {kind.awaits_what}, and the rule took effect"
        how = "An operator let the rule take effect" if detail.get("by_hand") else up
        return f"{how}: {_action(name)}.{_because(detail)}"
    if kind is not None and name == kind.withdrawn_event:
        return (
            f"What the deadline had marked was taken back, because it is no longer deserved: {_action(name)}.{_because(detail)}"
        )
    if name.startswith("deadline:"):
        return f"The deadline was {_spaced(name.partition(':')[2])} by hand.{_dates(detail)}{_because(detail)}"
    return f"{_action(name).capitalize()}.{_dates(detail)}{_because(detail)}"


def about(event: Mapping[str, Any], kind: DeadlineKind | None = None) -> str:
    """What it happened to: ``disputes 81``; of what concerns no single row the hold, the task, the kind or the seller."""
    detail = event["detail"] or {}
    named = {
        "hold": ("hold", detail.get("hold")),
        "pause": (detail.get("what"), detail.get("name")),
        "vacation": ("seller", detail.get("seller")),
    }
    row_of = (kind.subject.name if kind else event["kind"], event["subject_id"])
    table, row = named.get(event["event"].partition(":")[0], row_of)
    return f"{table or ''} {row or ''}".strip()


def who(event: Mapping[str, Any]) -> str:
    """Whose hand it was: ``clock, run 12``, ``maria``."""
    return f"{event['actor']}, run {event['run_id']}" if event["run_id"] else str(event["actor"])


def _moment(value: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(value)):%a %d %b %Y %H:%M} UTC"
    except ValueError:
        return str(value)


def _stamped(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    return f"The clock was started: {_time(kind)} ends {_moment(detail.get('promised_at'))}{_calendar(detail)}."


def _reopened(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    came = "what was awaited had come"
    before = {"met": came, "void": "it had stopped", "fired": "the rule had taken effect"}.get(detail.get("was", ""), "")
    ends = f"{_time(kind)} ends {_moment(detail.get('promised_at'))}"
    return f"The clock runs again{f' ({before})' if before else ''}: {ends}."


def _restamped(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    before = detail.get("before", {})
    moved = f"from {_moment(before.get('promised_at'))} to {_moment(detail.get('promised_at'))}"
    given = " Notice was given, and days were counted from then." if detail.get("case") == "given notice" else ""
    return f"Changed rules were applied: the end of {_time(kind)} was moved {moved}.{given}{_because(detail)}"


def _held(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    until = f" until {_moment(detail['until'])}" if detail.get("until") else " until it is resumed"
    by = f", by order of {detail['by']}" if detail.get("by") else ""
    return f"The clock for {_title(kind)} was held{until}{by}.{_because(detail)}"


def _moved(then: str) -> Callable[[Mapping[str, Any], DeadlineKind | None], str]:
    def told(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
        ends = f" It ends {_moment(detail['promised_at'])}." if detail.get("promised_at") else ""
        said = then.format(title=_title(kind), time=_time(kind).removeprefix("the"), party=_party(detail, kind))
        return f"{said}.{ends}{_because(detail)}"

    return told


def _spared(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    date = f" It takes effect {_moment(detail['due_at'])}; the date that was told stays." if detail.get("due_at") else ""
    return f"{_party(detail, kind).capitalize()} had not been warned in time, and is warned first.{date}{_because(detail)}"


def _met(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    return f"{_words(kind).came}. The clock stopped."


def _voided(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    return f"{_words(kind).over}, because the row has moved on. The clock stopped.{_because(detail)}"


def _undone(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    again = f", and {_time(kind)} runs again" if detail.get("rearmed", True) else ""
    ends = f" It ends {_moment(detail['promised_at'])}." if again and detail.get("promised_at") else ""
    return f"What had taken effect was undone{again}.{ends}{_because(detail)}"


def _reverted(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    return (
        f"The row was opened again after the rule had taken effect ({_title(kind)}). What is done to it from then on is not "
        f"ours: the rule does not act a second time, and its effect can no longer be undone.{_because(detail)}"
    )


def _reminder_queued(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    return f"A reminder to {_party(detail, kind)} was put into the outbox.{_because(detail)}"


def _reminder_skipped(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    return f"A reminder to {_party(detail, kind)} was left out.{_because(detail)}"


def _hold_ordered(detail: Mapping[str, Any], _kind: DeadlineKind | None) -> str:
    begins = f" from {_moment(detail['from'])}" if detail.get("from") else ""
    return f"{_hold(detail)} was ordered{begins}, {_until(detail, 'resumed')}.{_because(detail)}"


def _hold_ended(detail: Mapping[str, Any], _kind: DeadlineKind | None) -> str:
    return f"{_hold(detail)} was ended.{_because(detail)}"


def _hold(detail: Mapping[str, Any]) -> str:
    number = f" {detail['hold']}" if detail.get("hold") else ""
    scope = f" ({Scope.from_document(detail['scope'])})" if "scope" in detail else ""
    return f"Hold{number}{scope}" if number or scope else "A hold"


def _paused(detail: Mapping[str, Any], _kind: DeadlineKind | None) -> str:
    return f"{_resting(detail)} rests, {_until(detail, 'unpaused')}.{_because(detail)}"


def _unpaused(detail: Mapping[str, Any], _kind: DeadlineKind | None) -> str:
    began = f" that began {_moment(detail['since'])}" if detail.get("since") else ""
    return f"A pause of {_resting(detail).replace('The', 'the')}{began} was ended.{_because(detail)}"


def _resting(detail: Mapping[str, Any]) -> str:
    what = {"task": "The task", "kind": "The kind"}.get(detail.get("what", ""), "The task or kind")
    return f"{what} {detail['name']}" if detail.get("name") else what


def _until(detail: Mapping[str, Any], word: str) -> str:
    return f"until {_moment(detail['until'])}" if detail.get("until") else f"until it is {word}"


def _vacation(then: str) -> Callable[[Mapping[str, Any], DeadlineKind | None], str]:
    def told(detail: Mapping[str, Any], _kind: DeadlineKind | None) -> str:
        number = f"Vacation {detail['vacation']}" if detail.get("vacation") else "A vacation"
        seller = f" of seller {detail['seller']}" if detail.get("seller") else ""
        days = f" ({detail['first_day']} to {detail['last_day']})" if {"first_day", "last_day"} <= detail.keys() else ""
        counted = f": {detail['granted']} day(s) of it do not count" if detail.get("granted") else ""
        return f"{number}{seller}{days} {then}{counted}.{_because(detail)}"

    return told


def _notice(then: str) -> Callable[[Mapping[str, Any], DeadlineKind | None], str]:
    def told(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
        word = str(detail.get("notice", "notice"))
        named = {"outcome": "notice of the outcome", "digest": "entry in the digest"}.get(word, word)
        party = f" to the {detail['party']}" if detail.get("party") else ""
        return f"The {named}{party} {then}.{_because(detail)}"

    return told


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any], DeadlineKind | None], str]] = {
    str(name): tell
    for name, tell in {
        Event.STAMPED: _stamped,
        Event.REOPENED: _reopened,
        Event.RESTAMPED: _restamped,
        Event.HELD: _held,
        Event.RESUMED: _moved("The clock for {title} runs again, with the time that was left"),
        Event.EXTENDED: _moved("The{time} was extended"),
        Event.POSTPONED: _moved("The{time} was lengthened by days on which {party} is away"),
        Event.SPARED: _spared,
        Event.UNDONE: _undone,
        Event.REVERTED: _reverted,
        Event.MET: _met,
        Event.VOIDED: _voided,
        Event.REMINDER_QUEUED: _reminder_queued,
        Event.REMINDER_SKIPPED: _reminder_skipped,
        Event.NOTICE_SENT: _notice("was taken by the mail server"),
        Event.NOTICE_DEFERRED: _notice("could not be delivered yet and is tried again"),
        Event.NOTICE_DEAD: _notice("cannot be delivered and is given up"),
        Event.NOTICE_SUPPRESSED: _notice("was not sent, because it was no longer true"),
        Event.NOTICE_AMBIGUOUS: _notice("may have been sent already, and is sent again"),
        Event.NOTICE_REQUEUED: _notice("was queued once more"),
        Event.HOLD_ORDERED: _hold_ordered,
        Event.HOLD_ENDED: _hold_ended,
        Event.PAUSED: _paused,
        Event.UNPAUSED: _unpaused,
        Event.VACATION_ANNOUNCED: _vacation("was announced"),
        Event.VACATION_REMOVED: _vacation("was taken back"),
    }.items()
}


def _title(kind: DeadlineKind | None) -> str:
    return kind.title if kind else "the deadline"


def _time(kind: DeadlineKind | None) -> str:
    return f"the time for {kind.awaits_what}" if kind else "the time"


def _words(kind: DeadlineKind | None) -> Words:
    return kind.told if kind else Words.awaiting("what was asked for")


def _party(detail: Mapping[str, Any], kind: DeadlineKind | None) -> str:
    named = detail.get("party") or (kind.party.value if kind else None)
    return f"the {named}" if named else "the party"


def _calendar(detail: Mapping[str, Any]) -> str:
    return f" (counted in {detail['zone']}, calendar {detail['calendar']})" if {"zone", "calendar"} <= detail.keys() else ""


def _dates(detail: Mapping[str, Any]) -> str:
    until = detail.get("until") or detail.get("promised_at") or detail.get("due_at")
    return f" The date is now {_moment(until)}." if until else ""


def _because(detail: Mapping[str, Any]) -> str:
    reason = str(detail.get("reason") or "").strip()
    return f" Reason: {reason.removesuffix('.')}." if reason else ""


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _action(name: str) -> str:
    subject, _, action = name.partition(":")
    return f"{_spaced(subject)} {_spaced(action)}".strip()
