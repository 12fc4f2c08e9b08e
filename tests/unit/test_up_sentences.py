"""What ``returnclock up`` says of the news that it follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from returnclock.telemetry import Event
from returnclock.up.feed import Happening
from returnclock.up.sentences import MOST_ALONE, Line, lines

AT = datetime(2026, 11, 23, 14, 2, 11, tzinfo=UTC)
HERE = Path("/shop")


def escalated(dispute: int, due_at: datetime = AT - timedelta(minutes=3)) -> Happening:
    return Happening(AT, "dispute:escalated", "dispute", str(dispute), "the seller's answer", due_at, "5 days")


def said(*news: Happening) -> list[str]:
    return [f"{line.word} {line.text}" for line in lines(news, HERE)]


def test_an_act_is_told_with_its_subject_its_due_time_and_its_period() -> None:
    due = (AT - timedelta(minutes=3)).astimezone()
    assert said(escalated(81)) == [f"escalated dispute 81: the seller's answer was due {due:%H:%M} (5 days)"]


def test_a_due_time_of_another_day_is_told_with_its_date() -> None:
    due = AT - timedelta(days=2)
    assert f"was due {due.astimezone().day} {due.astimezone():%b %H:%M}" in said(escalated(81, due))[0]


def test_a_due_time_of_another_year_is_told_with_its_year() -> None:
    assert " 2025 " in said(escalated(81, AT - timedelta(days=366)))[0]


def test_few_of_the_same_event_are_told_one_by_one_and_many_in_one_line() -> None:
    assert len(said(*(escalated(number) for number in range(MOST_ALONE)))) == MOST_ALONE
    assert said(*(escalated(number) for number in range(MOST_ALONE + 1))) == ["escalated 6 disputes (0, 1, 2, …)"]


def test_different_events_are_not_told_as_one() -> None:
    stamped = [Happening(AT, Event.STAMPED, "dispute", str(n), "the seller's answer", AT) for n in range(4)]
    assert len(said(*stamped, *(escalated(number) for number in range(4)))) == 8


def test_a_letter_is_told_with_its_recipient_and_its_file_as_seen_from_here() -> None:
    detail = {"notice": "reminder", "party": "seller", "outbox_id": 1, "message_id": "<a@b>"}
    letter = HERE / "returnclock-data" / "mail" / "a@b.eml"
    sent = Happening(AT, Event.NOTICE_SENT, "dispute", "81", recipient="ana@example.com", letter=letter, detail=detail)
    assert said(sent) == ["mailed reminder to seller ana@example.com about dispute 81 -> returnclock-data/mail/a@b.eml"]


def test_a_letter_that_failed_says_why() -> None:
    detail = {"notice": "outcome", "party": "buyer", "reason": "the buyer has no e-mail address"}
    dead = Happening(AT, Event.NOTICE_DEAD, "dispute", "81", detail=detail)
    assert said(dead) == ["mail failed outcome to buyer about dispute 81: the buyer has no e-mail address"]


def test_a_problem_names_its_row_once() -> None:
    problem = Happening(AT, "row:problem", "disputes", "7", detail={"reason": "disputes 7: opened_at is no date."})
    assert said(problem) == ["problem disputes 7: opened_at is no date."]
    other = Happening(AT, "row:problem", "orders", "1", detail={"reason": "orders 1 has no buyer_id."})
    assert said(other) == ["problem orders 1 has no buyer_id."]


def test_an_event_that_a_shops_own_kind_names_is_told_too() -> None:
    own = Happening(AT, "parcel:sent_back", "parcel", "5", "picking up the parcel", AT)
    assert lines([own], HERE)[0].word == "sent back"


def test_lines_keep_the_order_in_which_events_began() -> None:
    news = [
        Happening(AT, Event.STAMPED, "dispute", "1", "the seller's answer", AT),
        escalated(1),
        Happening(AT, Event.STAMPED, "dispute", "2", "the seller's answer", AT),
    ]
    assert [line.word for line in lines(news, HERE)] == ["stamped", "stamped", "escalated"]


def test_an_unknown_word_has_the_usual_colour() -> None:
    assert Line(AT, "escalated", "").style != Line(AT, "mailed", "").style
