"""Every event in a sentence, and errors that are the same although their words differ."""

from __future__ import annotations

import pytest

from returnclock.kinds import KINDS
from returnclock.kinds.refund_completion import REFUND_COMPLETION
from returnclock.kinds.seller_response import SELLER_RESPONSE
from returnclock.telemetry import Event
from returnclock.telling import sentence, who

DETAIL = {
    "promised_at": "2026-03-07T10:00:00+00:00",
    "zone": "Europe/Lisbon",
    "calendar": "PT",
    "before": {"promised_at": "2026-03-05T10:00:00+00:00"},
    "notice": "outcome",
    "party": "seller",
}


@pytest.mark.parametrize("event", list(Event))
@pytest.mark.parametrize("detail", [DETAIL, {}, None])
def test_every_event_of_ours_is_one_sentence(event: Event, detail: dict[str, object] | None) -> None:
    for kind in (SELLER_RESPONSE, None):
        told = sentence({"event": str(event), "detail": detail}, kind)
        assert told[0].isupper()
        assert told.endswith(".")
        assert str(event) not in told
        assert "by hand" not in told  # that is what is said of an event that is not known


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_firing_of_every_kind_is_told_as_that(kind: object) -> None:
    told = sentence({"event": kind.event, "detail": None}, kind)  # type: ignore[attr-defined]
    assert told.startswith("Time was up for ")


def test_a_flag_that_was_taken_back_is_told_as_that() -> None:
    told = sentence({"event": REFUND_COMPLETION.withdrawn_event, "detail": None}, REFUND_COMPLETION)
    assert "was taken back" in told


@pytest.mark.parametrize(
    ("event", "detail", "told"),
    [
        (
            "deadline:stretched",
            {"reason": "strike at the port."},
            "The deadline was stretched by hand. Reason: strike at the port.",
        ),
        ("deadline:fired_now", {}, "The deadline was fired now by hand."),
        ("parcel:sent_back", {"reason": "lost"}, "Parcel sent back. Reason: lost."),
        ("parcel:sent_back", None, "Parcel sent back."),
    ],
)
def test_an_event_that_is_not_known_here_is_told_from_its_name(event: str, detail: object, told: str) -> None:
    assert sentence({"event": event, "detail": detail}) == told


def test_whose_hand_it_was() -> None:
    assert who({"actor": "clock", "run_id": 12}) == "clock, run 12"
    assert who({"actor": "maria", "run_id": None}) == "maria"
