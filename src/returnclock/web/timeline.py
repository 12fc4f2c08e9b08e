"""One deadline's story as a timeline: what happened and what is to come, in order. Imports explain and telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from returnclock.explain import Story
from returnclock.tables.clock import LIVE_STATES
from returnclock.telemetry import masked

_DETAILS = ("notice", "party", "reason", "was", "before", "after", "to")


@dataclass(frozen=True)
class Moment:
    """One point of the timeline. ``tone``: past, bad, good, now or ahead."""

    at: datetime | None
    what: str
    who: str = ""
    more: str = ""
    tone: str = "past"


def timeline(story: Story, now: datetime) -> list[Moment]:
    """The moments of a story: its start, the ledger's events, now, and while it lives the reminders and the end."""
    kept = story.deadline
    past = [Moment(kept["starts_at"], "the clock starts")]
    past += [_event(event) for event in story.events]
    past.sort(key=lambda moment: moment.at or now)
    if kept["state"] not in LIVE_STATES:
        return past
    ahead = []
    for written in kept["schedule"].get("reminders", ()):
        at = datetime.fromisoformat(written)
        if kept["remind_at"] and at >= kept["remind_at"]:
            ahead.append(Moment(at, "reminder", tone="ahead"))
    if kept["promised_at"] != kept["due_at"]:
        ahead.append(Moment(kept["promised_at"], "the date that people were told", tone="ahead"))
    if kept["state"] == "running":
        late = kept["due_at"] <= now
        what, tone = ("due, and not enforced yet", "bad") if late else ("due", "ahead")
        ahead.append(Moment(kept["due_at"], what, tone=tone))
    present = Moment(now, "now: it is held" if kept["state"] == "held" else "now", tone="now")
    return [*past, *sorted([present, *ahead], key=lambda moment: moment.at or now)]


def _event(event: dict[str, Any]) -> Moment:
    detail = event["detail"] or {}
    told = [f"{name}: {masked(str(detail[name]))}" for name in _DETAILS if detail.get(name)]
    who = event["actor"] + (f", run {event['run_id']}" if event["run_id"] else "")
    return Moment(event["at"], event["event"].replace(":", " ").replace("_", " "), who, "; ".join(told), _tone(event["event"]))


def _tone(name: str) -> str:
    if name in ("deadline:met", "notice:sent"):
        return "good"
    ends_badly = name.rpartition(":")[2] in ("dead", "ambiguous", "escalated", "expired", "late")
    return "bad" if ends_badly else "past"
