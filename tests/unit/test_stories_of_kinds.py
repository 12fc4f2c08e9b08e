"""What `explain` says of each kind in each state: true of whoever acts, and English."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from returnclock import explain
from returnclock.kinds import KINDS, DeadlineKind
from returnclock.kinds.correction import corrections
from returnclock.kinds.seller_response import SELLER_RESPONSE
from returnclock.telemetry import Event
from returnclock.telling import sentence

DUE = datetime(2026, 3, 7, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
AT_DUE, EARLIER = "Sat 7 Mar 2026 10:00 (UTC)", "Sat 7 Mar 2026 09:00 (UTC)"
# Of each kind: while it runs, what came, what had not come, that nothing is waited for; and what the time is for.
SAID = {
    "seller_response": (
        "The seller's answer is awaited",
        "The seller answered",
        "The seller had not answered",
        "The seller's answer is no longer awaited",
        "the seller's answer",
    ),
    "return_window": (
        "The buyer may ask to return the goods",
        "A return was asked for or a dispute opened",
        "No return had been asked for and no dispute opened",
        "The return window does not run any more",
        "a request to return the goods",
    ),
    "return_shipment": (
        "The return shipment is awaited",
        "The goods were sent back",
        "The goods had not been marked as sent back",
        "The return shipment is no longer awaited",
        "the return shipment",
    ),
    **{
        name: (
            "The refund is awaited",
            "The refund was completed",
            "The refund had not been completed",
            "The refund is no longer awaited",
            "the refund",
        )
        for name in ("refund_completion", "refund_mediation")
    },
    **{
        f"refund_{stage}": (
            f"The end of the {done} is awaited",
            f"The {done} ended",
            f"The {done} had not ended",
            f"The {done} is no longer awaited",
            f"the {done}",
        )
        for stage, done in {
            "inspection": "inspection of the returned goods",
            "processing": "processing of the refund",
            "clearing": "clearing of the payment",
        }.items()
    },
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def summary(kind: DeadlineKind, state: str, now: datetime = DUE - HOUR, **columns: Any) -> str:
    settled = None if state in ("running", "held") else DUE - HOUR
    row = {"promised_at": DUE, "due_at": DUE, "fired_at": None, "settled_at": settled, "schedule": {"zone": "UTC"}}
    return explain._summary(kind, SimpleNamespace(state=state, **row | columns), now)


@EVERY_KIND
def test_a_deadline_that_runs_or_is_held(kind: DeadlineKind) -> None:
    runs, _, _, _, what = SAID[kind.name]
    assert summary(kind, "running") == f"{runs} until {AT_DUE}: 1 hour left."
    assert summary(kind, "running", now=DUE) == (
        f"The time for {what} ended {AT_DUE}, less than a minute ago, and the next sweep enforces it."
    )
    title = kind.title
    assert summary(kind, "held") == f"The clock for {title} is held. Without the hold it would end {AT_DUE}."


@EVERY_KIND
def test_a_time_that_ended_and_whose_effect_comes_later(kind: DeadlineKind) -> None:
    what = SAID[kind.name][4]
    told = summary(kind, "running", now=DUE + HOUR, promised_at=DUE, due_at=DUE + 3 * HOUR)
    acts = "Sat 7 Mar 2026 13:00 (UTC)"
    assert told == f"The time for {what} ended {AT_DUE}, and the rule takes effect {acts}: 2 hours left."
    told = summary(kind, "running", now=DUE + 4 * HOUR, promised_at=DUE, due_at=DUE + 3 * HOUR)
    late = "the rule was to take effect 1 hour ago, and the next sweep enforces it."
    assert told == f"The time for {what} ended {AT_DUE}; {late}"


@EVERY_KIND
def test_a_deadline_that_was_met(kind: DeadlineKind) -> None:
    _, came, _, _, _ = SAID[kind.name]
    assert summary(kind, "met") == f"{came} in time (there was time until {AT_DUE}); that was seen {EARLIER}."
    # While no worker ran, it came late and was still in time for the rule.
    told = summary(kind, "met", settled_at=DUE + HOUR)
    assert told.startswith(f"{came} before the rule took effect (there was time until {AT_DUE})")


@EVERY_KIND
def test_a_deadline_that_fired(kind: DeadlineKind) -> None:
    _, _, missed, _, what = SAID[kind.name]
    after = DUE + HOUR
    assert summary(kind, "fired", fired_at=after, settled_at=after) == (
        f"{missed} by {AT_DUE}, so the rule took effect Sat 7 Mar 2026 11:00 (UTC), 1 hour after it was due."
    )
    assert summary(kind, "fired", fired_at=DUE - HOUR) == (
        f"The rule took effect {EARLIER} by hand, before the time for {what} was up ({AT_DUE})."
    )


@EVERY_KIND
def test_a_deadline_of_which_nothing_is_waited_for(kind: DeadlineKind) -> None:
    over = SAID[kind.name][3]
    assert summary(kind, "void") == f"{over}; that was seen {EARLIER}. There would have been time until {AT_DUE}."
    # A flag that was taken back: its deadline was settled when it fired.
    withdrawn = summary(kind, "void", fired_at=DUE, settled_at=DUE)
    assert withdrawn == f"{over}. The rule had taken effect {AT_DUE}, and that was taken back."


@EVERY_KIND
def test_the_events_of_every_kind(kind: DeadlineKind) -> None:
    _, came, _, over, what = SAID[kind.name]

    def told(event: str, **detail: object) -> str:
        return sentence({"event": event, "detail": detail}, kind)

    ends = "ends Sat 07 Mar 2026 10:00 UTC."
    promised = {"promised_at": DUE.isoformat()}
    assert told(Event.MET) == f"{came}. The clock stopped."
    assert told(Event.VOIDED).startswith(f"{over}, because the row has moved on.")
    assert told(Event.STAMPED, **promised) == f"The clock was started: the time for {what} {ends}"
    assert told(Event.REOPENED, **promised) == f"The clock runs again: the time for {what} {ends}"
    assert told(Event.EXTENDED, **promised) == f"The time for {what} was extended. It {ends}"
    undone = "What had taken effect was undone"
    assert told(Event.UNDONE, rearmed=True, **promised) == f"{undone}, and the time for {what} runs again. It {ends}"
    assert told(Event.UNDONE, rearmed=False, **promised) == f"{undone}."
    assert told(kind.event).startswith(f"Time was up for {what}, and the rule took effect: ")
    assert told(kind.event, by_hand=True).startswith("An operator let the rule take effect: ")


@EVERY_KIND
def test_a_correction_tells_of_the_time_for_what_was_awaited(kind: DeadlineKind) -> None:
    what = SAID[kind.name][4]
    for notice in corrections(kind):
        assert f"that the time for {what} had ended" in " ".join(notice.body.split())


def test_a_kind_of_a_shop_s_own_is_told_by_what_it_awaits() -> None:
    kind = replace(SELLER_RESPONSE, title="the DHL parcel", awaited="", words=None)
    assert summary(kind, "running").startswith("The DHL parcel is awaited until ")
    assert summary(kind, "met").startswith("The DHL parcel came in time ")
    assert summary(kind, "fired", fired_at=DUE).startswith("The DHL parcel had not come by ")
    assert summary(kind, "void").startswith("The DHL parcel is no longer awaited; ")
