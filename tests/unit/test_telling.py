"""Every event in a sentence, and errors that are the same although their words differ."""

from __future__ import annotations

import pytest

from returnclock.kinds import KINDS
from returnclock.kinds.refund_completion import REFUND_COMPLETION
from returnclock.kinds.seller_response import SELLER_RESPONSE
from returnclock.telemetry import Event
from returnclock.telling import about, sentence, who

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


HOLD = {"hold": 3, "scope": {"where": {"country": "PT"}}, "from": "2026-03-05T10:00:00+00:00", "reason": "strike"}
PAUSE = {"what": "task", "name": "deliver-mail", "reason": "the server moves", "until": "2026-03-07T10:00:00+00:00"}
VACATION = {"seller": 12, "vacation": 4, "granted": 3, "first_day": "2026-03-05", "last_day": "2026-03-09", "reason": "away"}


@pytest.mark.parametrize(
    ("event", "detail", "of", "told"),
    [
        (
            *(Event.HOLD_ORDERED, HOLD, "hold 3"),
            "Hold 3 (country = PT) was ordered from Thu 05 Mar 2026 10:00 UTC, until it is resumed. Reason: strike.",
        ),
        (Event.HOLD_ENDED, HOLD, "hold 3", "Hold 3 (country = PT) was ended. Reason: strike."),
        (
            *(Event.PAUSED, PAUSE, "task deliver-mail"),
            "The task deliver-mail rests, until Sat 07 Mar 2026 10:00 UTC. Reason: the server moves.",
        ),
        (
            *(Event.UNPAUSED, {"what": "kind", "name": "seller_response", "since": "2026-03-05T10:00:00+00:00"}),
            *("kind seller_response", "A pause of the kind seller_response that began Thu 05 Mar 2026 10:00 UTC was ended."),
        ),
        (
            *(Event.VACATION_ANNOUNCED, VACATION, "seller 12"),
            "Vacation 4 of seller 12 (2026-03-05 to 2026-03-09) was announced: 3 day(s) of it do not count. Reason: away.",
        ),
        (
            *(Event.VACATION_REMOVED, {"seller": 12, "vacation": 4}, "seller 12"),
            "Vacation 4 of seller 12 was taken back.",
        ),
    ],
)
def test_what_concerns_no_single_row_says_what_it_concerns(event: Event, detail: object, of: str, told: str) -> None:
    happened = {"event": str(event), "kind": None, "subject_id": "12", "detail": detail}
    assert (about(happened), sentence(happened)) == (of, told)


def test_what_happens_to_a_row_is_told_of_the_row() -> None:
    happened = {"event": "deadline:met", "kind": "seller_response", "subject_id": "81", "detail": None}
    assert about(happened, SELLER_RESPONSE) == "disputes 81"
    assert about(happened) == "seller_response 81"


def test_whose_hand_it_was() -> None:
    assert who({"actor": "clock", "run_id": 12}) == "clock, run 12"
    assert who({"actor": "maria", "run_id": None}) == "maria"
