"""Letters: what notices say, and the bytes they become."""

from __future__ import annotations

import email
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from returnclock.errors import NoticeRefused
from returnclock.kinds import KINDS, DeadlineKind, Notice, Party
from returnclock.kinds.wording import way_back
from returnclock.mail import Letter, address_fault, compose, message_id, write_digest, write_letter
from returnclock.mail.addresses import mailbox
from returnclock.mail.phrases import deadline, money, one_line, time_left

NOW = datetime(2026, 11, 26, 14, 20, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "subject_table": "disputes",
    "subject_id": "81",
    "order_id": 77,
    "order_number": "A-1001",
    "category": "shoes",
    "free_return": True,
    "buyer_name": "Bea",
    "buyer_email": "bea@buyers.example",
    "seller_name": "Ana's Shop",
    "seller_email": "ana@sellers.example",
    "recipient_name": "Zoe",
    "recipient_address": "zoe@people.example",
    "locale": "en",
    "zone": "Europe/Lisbon",
    "dispute_kind": "return_goods",
    "reason": "too small",
    "amount": "129.9000",
    "currency": "EUR",
    "method": "card",
    "refund_status": "processing",
    "promised_at": datetime(2026, 11, 27, 17, 40, tzinfo=UTC),
    "due_at": datetime(2026, 11, 27, 17, 40, tzinfo=UTC),
    "starts_at": datetime(2026, 11, 22, 17, 40, tzinfo=UTC),
    "last_day": None,
    "ends": "same_time",
    "now": NOW,
    "market_name": "Fair Market",
    "site_url": "https://fair.example/",
}
ALWAYS_THERE = ("subject_table", "subject_id", "promised_at", "now")
BARE = {name: fact if name in ALWAYS_THERE else None for name, fact in FACTS.items()}
EVERY_NOTICE = [
    pytest.param(kind, notice, id=f"{kind.name}-{notice.moment}-{notice.to}") for kind in KINDS for notice in kind.notices
]


def notice_of(kind_name: str, moment: str, to: Party) -> Notice:
    (kind,) = (kind for kind in KINDS if kind.name == kind_name)
    (notice,) = (notice for notice in kind.notices_for(moment) if notice.to is to)
    return notice


SELLER_REMINDER = notice_of("seller_response", "reminder", Party.SELLER)
BUYER_REMINDER = notice_of("return_window", "reminder", Party.BUYER)
LATE_REFUND = notice_of("refund_completion", "outcome", Party.BUYER)


def words_of(html: str) -> str:
    """What a reader of the HTML sees, with spaces made equal."""
    words: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            words.append(data)

    Reader().feed(html.partition("<main")[2].partition(">")[2])
    return " ".join(" ".join(words).split())


def sent(letter: Letter, **changes: Any) -> EmailMessage:
    envelope: dict[str, Any] = {
        "sender": "Fair Market <returns@fair.example>",
        "to_name": "Zoe",
        "to_address": "zoe@people.example",
        "reply_to": None,
        "message_id": message_id("7.0.outcome.0.buyer", "fair.example"),
        "date": NOW,
    } | changes
    raw = compose(letter, **envelope)
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b"")
    message = email.message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


LETTER = Letter("A subject", "Hello,\n\na text.\n", "<!DOCTYPE html>\n<p>a text.</p>\n")


# What each notice says


@pytest.mark.parametrize(("kind", "notice"), EVERY_NOTICE)
def test_every_notice_names_order_and_date_in_text_and_html(kind: DeadlineKind, notice: Notice) -> None:
    letter = write_letter(notice, FACTS | {"subject_table": kind.subject.name})

    assert "order A-1001" in letter.subject
    for words in (letter.text, words_of(letter.html)):
        assert "order A-1001" in words
        assert "by Fri 27 November 2026, 17:40 (Europe/Lisbon)" in words
        assert "Fair Market" in words
        assert ("EUR 129.90" in words) is (kind.subject.name == "refunds")
        assert not re.search(r"[{}%]|None| ,|\.\.", words)
    assert '<html lang="en">' in letter.html


@pytest.mark.parametrize(("kind", "notice"), EVERY_NOTICE)
def test_every_notice_can_be_written_when_the_row_says_almost_nothing(kind: DeadlineKind, notice: Notice) -> None:
    letter = write_letter(notice, BARE | {"subject_table": kind.subject.name})

    noun = kind.subject.name.removesuffix("s")
    for words in (letter.text, words_of(letter.html)):
        assert f"{noun} 81" in words
        assert "by Fri 27 November 2026, 17:40 (UTC)" in words
        assert not re.search(r"[{}%]|None| ,|\.\.", words)


@pytest.mark.parametrize(("kind", "notice"), EVERY_NOTICE)
def test_text_and_html_say_the_same(kind: DeadlineKind, notice: Notice) -> None:
    letter = write_letter(notice, FACTS | {"buyer_name": "<Bea> & Co"})

    assert words_of(letter.html) == " ".join(letter.text.split())


def test_who_is_told_what() -> None:
    told = {(kind.name, notice.moment, str(notice.to), notice.digest) for kind in KINDS for notice in kind.notices}
    assert told == {
        ("seller_response", "reminder", "seller", False),
        ("seller_response", "outcome", "seller", False),
        ("seller_response", "outcome", "buyer", False),
        ("return_window", "reminder", "buyer", False),
        ("return_window", "outcome", "buyer", False),
        ("return_shipment", "reminder", "buyer", False),
        ("return_shipment", "outcome", "buyer", False),
        ("return_shipment", "outcome", "seller", False),
        ("refund_completion", "outcome", "platform", False),
        ("refund_completion", "outcome", "buyer", False),
        ("refund_inspection", "outcome", "platform", True),
        ("refund_processing", "outcome", "platform", True),
        ("refund_clearing", "outcome", "platform", True),
        ("refund_mediation", "outcome", "buyer", False),
    }


def test_an_order_without_a_number_is_named_by_its_id() -> None:
    assert "order 77" in write_letter(BUYER_REMINDER, FACTS | {"order_number": " "}).text


@pytest.mark.parametrize(
    ("free_return", "said", "not_said"),
    [
        (True, "already paid", "pay for the way back yourself"),
        (1, "already paid", "pay for the way back yourself"),
        (False, "pay for the way back yourself", "already paid"),
        (None, "says who pays", "already paid"),
    ],
)
@pytest.mark.parametrize("kind", ["return_window", "return_shipment"])
def test_reminders_say_who_pays_for_the_way_back(kind: str, free_return: Any, said: str, not_said: str) -> None:
    letter = write_letter(notice_of(kind, "reminder", Party.BUYER), FACTS | {"free_return": free_return})
    for words in (letter.text, letter.html):
        assert said in words
        assert not_said not in words


METHODS = {
    "card": "the card you paid with",
    "Credit-Card": "the card you paid with",
    "bank_transfer": "your bank account",
    "SEPA transfer": "the way that was agreed",
    "paypal": "such as PayPal",
    "wallet": "such as PayPal",
    "gift_card": "gift card or store credit",
    "store credit": "gift card or store credit",
    "cash_on_delivery": "You paid in cash on delivery",
    "crypto": "the way that was agreed",
    "": "the way that was agreed",
    None: "the way that was agreed",
}


@pytest.mark.parametrize(("method", "said"), METHODS.items())
def test_a_late_refund_says_how_the_money_comes_back(method: str | None, said: str) -> None:
    letter = write_letter(LATE_REFUND, FACTS | {"method": method})
    assert said in letter.text and said in letter.html
    assert sum(others in letter.text for others in set(METHODS.values())) == 1


def test_only_a_card_refund_speaks_of_the_days_that_banks_take_to_show_it() -> None:
    assert "banks take 2 to 5 days" in way_back("card")
    assert "banks take 2 to 5 days" not in way_back("gift_card")


@pytest.mark.parametrize("dispute_kind", ["return_goods", "refund_only", "exchange_goods", None, "barter"])
def test_each_kind_of_dispute_is_told_in_its_own_words(dispute_kind: str | None) -> None:
    wishes = {
        "return_goods": "would like to return the goods",
        "refund_only": "would like a refund without",
        "exchange_goods": "would like to exchange",
    }
    to_seller = write_letter(SELLER_REMINDER, FACTS | {"dispute_kind": dispute_kind}).text
    assert wishes.get(dispute_kind or "", "has opened a dispute") in to_seller
    escalated = notice_of("seller_response", "outcome", Party.BUYER)
    to_buyer = write_letter(escalated, FACTS | {"dispute_kind": dispute_kind}).text
    assert ("do not send them back" in to_buyer) is (dispute_kind in ("return_goods", "exchange_goods"))


# Dates and the time that is left


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=1, hours=3, minutes=59, seconds=59), "1 day and 3 hours"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=1, hours=23, minutes=59), "1 day and 23 hours"),
        (timedelta(hours=24), "1 day"),
        (timedelta(hours=23, minutes=59, seconds=59), "23 hours and 59 minutes"),
        (timedelta(days=3, minutes=12), "3 days"),
        (timedelta(hours=1, minutes=1), "1 hour and 1 minute"),
        (timedelta(seconds=60), "1 minute"),
        (timedelta(seconds=59), "less than a minute"),
    ],
)
def test_time_left_is_never_more_than_there_is(left: timedelta, said: str) -> None:
    assert time_left(left) == said


def test_a_reminder_reckons_from_the_moment_of_sending() -> None:
    early = write_letter(SELLER_REMINDER, FACTS)
    late = write_letter(SELLER_REMINDER, FACTS | {"now": NOW + timedelta(hours=5, minutes=30)})
    assert "in 1 day and 3 hours" in early.text and "1 day and 3 hours" in early.subject
    assert "in 21 hours and 50 minutes" in late.text and "21 hours and 50 minutes" in late.subject


def test_a_reminder_after_its_date_is_refused_and_a_second_before_it_is_not() -> None:
    promised_at = FACTS["promised_at"]
    write_letter(SELLER_REMINDER, FACTS | {"now": promised_at - timedelta(seconds=1)})
    with pytest.raises(NoticeRefused, match="a date that has passed, Fri 27 November 2026"):
        write_letter(SELLER_REMINDER, FACTS | {"now": promised_at})


@pytest.mark.parametrize("missing", ["promised_at", "now"])
def test_a_notice_without_its_date_is_refused(missing: str) -> None:
    with pytest.raises(NoticeRefused, match=missing):
        write_letter(SELLER_REMINDER, FACTS | {missing: None})


@pytest.mark.parametrize(
    ("instant", "zone", "ends", "said"),
    [
        ("2026-11-27T17:40:59", "Europe/Lisbon", "same_time", "Fri 27 November 2026, 17:40 (Europe/Lisbon)"),
        ("2026-11-27T23:40:00", "Asia/Tokyo", "same_time", "Sat 28 November 2026, 08:40 (Asia/Tokyo)"),
        ("2026-11-28T00:00:00", "Europe/Lisbon", "end_of_day", "the end of Friday 27 November 2026 (Europe/Lisbon)"),
        ("2026-11-27T15:00:00", "Asia/Tokyo", "end_of_day", "the end of Friday 27 November 2026 (Asia/Tokyo)"),
        # Extended into the middle of a day: that moment is the truth.
        ("2026-11-28T12:00:00", "Europe/Lisbon", "end_of_day", "Sat 28 November 2026, 12:00 (Europe/Lisbon)"),
        # Midnight does not exist in Cairo on that day: the day before ends at 01:00.
        ("2026-04-23T22:00:00", "Africa/Cairo", "end_of_day", "the end of Thursday 23 April 2026 (Africa/Cairo)"),
        ("2026-10-25T00:30:00", "Europe/Berlin", "same_time", "Sun 25 October 2026, 02:30 UTC+0200 (Europe/Berlin)"),
        ("2026-10-25T01:30:00", "Europe/Berlin", "same_time", "Sun 25 October 2026, 02:30 UTC+0100 (Europe/Berlin)"),
        # What the clock skips is not shown twice.
        ("2026-03-29T01:30:00", "Europe/Berlin", "same_time", "Sun 29 March 2026, 03:30 (Europe/Berlin)"),
    ],
)
def test_the_communicated_date_is_told_with_its_zone(instant: str, zone: str, ends: str, said: str) -> None:
    assert deadline(datetime.fromisoformat(instant).replace(tzinfo=UTC), ZoneInfo(zone), ends) == said


def test_an_unknown_zone_falls_back_to_utc() -> None:
    assert "17:40 (UTC)" in write_letter(SELLER_REMINDER, FACTS | {"zone": "Mars/Olympus"}).text


# Money


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        ("129.9000", "EUR", "EUR 129.90"),
        (Decimal("129.9000"), "eur", "EUR 129.90"),
        (Decimal("1E+3"), "EUR", "EUR 1000.00"),
        (129.9, "EUR", "EUR 129.90"),
        (5, "EUR", "EUR 5.00"),
        ("5000.0000", "JPY", "JPY 5000"),
        ("1.5", "KWD", "KWD 1.500"),
        ("0.0051", "EUR", "EUR 0.0051"),
        ("0", "EUR", "EUR 0.00"),
        ("-5", "EUR", None),
        ("NaN", "EUR", None),
        (Decimal("Infinity"), "EUR", None),
        ("1e400", "EUR", None),
        ("9" * 100_000, "EUR", None),
        ("12,50", "EUR", None),
        ("", "EUR", None),
        (True, "EUR", None),
        (None, "EUR", None),
        ("12.50", None, None),
        ("12.50", "€", None),
        ("12.50", "EURO", None),
    ],
)
def test_money_is_said_exactly_or_not_at_all(amount: object, currency: str | None, said: str | None) -> None:
    assert money(amount, currency) == said


@pytest.mark.parametrize("changes", [{"amount": "many"}, {"currency": "gold"}, {"amount": None}])
def test_a_broken_amount_costs_nobody_the_notice(changes: dict[str, Any]) -> None:
    letter = write_letter(LATE_REFUND, FACTS | changes)
    assert "Your refund for order A-1001 was promised" in letter.text


# What a rude front end may write


@pytest.mark.parametrize("fact", ["order_number", "buyer_name", "recipient_name", "reason", "market_name"])
@pytest.mark.parametrize("bad", ["x\r\nBcc: all@evil.example", "x\nBcc: all@evil.example", "x\u2028Bcc:\x00\x1b[2Jall@evil"])
def test_a_line_break_in_a_fact_becomes_a_space(fact: str, bad: str) -> None:
    letter = write_letter(SELLER_REMINDER, FACTS | {fact: bad})
    assert not re.search("[\x00-\x1f\u2028]", letter.subject)
    assert "\nBcc" not in letter.text and "\x1b" not in letter.text + letter.html
    assert sent(letter)["Bcc"] is None


@pytest.mark.parametrize("subject", ["a\r\nBcc: b@evil.example", "=?utf-8?q?a=0D=0ABcc:_b@evil.example?="])
def test_a_subject_cannot_add_a_header(subject: str) -> None:
    message = sent(Letter(subject, LETTER.text, LETTER.html))
    assert message["Bcc"] is None
    assert "\n" not in message["Subject"]


@pytest.mark.parametrize(
    "name",
    [
        'Mallory" <m@evil.example>, "x',
        "a, b@evil.example",
        "a\r\nBcc: b@evil.example",
        "=?utf-8?q?a=0D=0ABcc:_b@evil.example?=",
        "=?utf-8?q?=3Cb@evil.example=3E=2C?=",
        "Zoë, " * 40 + "<b@evil.example>",
        "é" * 100_000,
        "Long " * 40,
    ],
)
def test_a_name_can_neither_add_a_recipient_nor_a_header(name: str) -> None:
    message = sent(LETTER, to_name=name)
    assert [address.addr_spec for address in message["To"].addresses] == ["zoe@people.example"]
    assert message["Bcc"] is None


def test_a_name_with_a_comma_stays_one_name() -> None:
    (to,) = sent(LETTER, to_name='Sand, Zoe "Zo"')["To"].addresses
    assert to.display_name == 'Sand, Zoe "Zo"'


@pytest.mark.parametrize("address", ["zoe@people.example\r\nBcc: b@evil.example", "a@b.example, c@d.example", "", "zoe"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(NoticeRefused):
        sent(LETTER, to_address=address)


def test_a_further_header_with_a_line_break_is_refused() -> None:
    with pytest.raises(NoticeRefused, match="X-Kind"):
        sent(LETTER, headers={"X-Kind": "a\nBcc: b@evil.example"})


def test_html_in_a_fact_is_shown_and_not_run() -> None:
    letter = write_letter(SELLER_REMINDER, FACTS | {"reason": "<script>alert(1)</script> & more"})
    assert "<script" not in letter.html
    assert "<script>alert(1)</script> & more" in letter.text


def test_template_words_in_a_fact_are_shown_and_not_filled_in() -> None:
    assert "{{ 7 * 7 }}" in write_letter(SELLER_REMINDER, FACTS | {"reason": "{{ 7 * 7 }}"}).text


def test_a_site_that_is_no_web_address_is_no_link() -> None:
    letter = write_letter(SELLER_REMINDER, FACTS | {"site_url": "javascript:alert(1)"})
    assert "javascript" not in letter.html + letter.text


def test_a_name_of_100_kB_is_cut() -> None:
    letter = write_letter(SELLER_REMINDER, FACTS | {"buyer_name": "Ä" * 100_000, "order_number": "9" * 100_000})
    assert len(letter.text) < 2_000 and len(letter.subject) <= 151
    assert "Ä" * 120 + "…" in letter.text
    assert one_line("x" * 120) == "x" * 120
    assert one_line("x" * 121) == "x" * 120 + "…"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{{ ordr }}", "'ordr' is undefined"),
        ("{% if x %", "template"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ reason }}", "not known"),
        ("{{ time_left }}", "time_left"),
    ],
)
def test_a_notice_whose_template_is_wrong_is_refused(body: str, reason: str) -> None:
    notice = Notice(moment="outcome", to=Party.BUYER, subject="x", body=body)
    with pytest.raises(NoticeRefused, match=reason):
        write_letter(notice, FACTS | {"reason": None, "now": FACTS["promised_at"]})


# The digest


def test_the_digest_tells_each_refund_in_one_line() -> None:
    kinds = [kind for kind in KINDS if kind.notices and kind.notices[0].digest]
    rows = [
        (
            kind.notices[0],
            FACTS | {"subject_table": "refunds", "subject_id": str(number), "order_number": f"A-{number}"},
        )
        for number, kind in enumerate(kinds, start=1)
    ]
    broken = (rows[0][0], FACTS | {"subject_table": "refunds", "subject_id": "9", "promised_at": None})
    letter = write_digest([*rows, rows[0], broken], FACTS | {"zone": "Asia/Tokyo"})

    assert letter.subject == "4 refunds are over their time (Thursday 26 November 2026)"
    lines = [line for line in letter.text.splitlines() if line.startswith("- ")]
    assert len(lines) == 5 == letter.html.count("<li>")
    assert lines[0].startswith("- Refund 1 for order A-1, EUR 129.90: inspecting the returned goods should have been done by")
    assert lines[2].startswith("- Refund 3 for order A-3, EUR 129.90: clearing the payment should")
    assert "refunds 9" in lines[4] and "promised_at" in lines[4]
    assert words_of(letter.html) == " ".join(letter.text.replace("\n- ", "\n").split())


def test_a_digest_takes_the_market_from_its_rows_where_it_is_not_told() -> None:
    notice = next(kind for kind in KINDS if kind.name == "refund_clearing").notices[0]
    letter = write_digest([(notice, FACTS | {"subject_table": "refunds"})])
    assert letter.subject == "1 refund is over its time (Thursday 26 November 2026)"
    assert "Fair Market" in letter.text


def test_a_digest_of_thousands_stays_readable_and_says_how_many_it_leaves_out() -> None:
    notice = next(kind for kind in KINDS if kind.name == "refund_clearing").notices[0]
    rows = [(notice, FACTS | {"subject_table": "refunds", "subject_id": str(number)}) for number in range(1_002)]
    letter = write_digest(rows, FACTS)
    assert letter.subject.startswith("1002 refunds are over their time")
    assert letter.text.count("\n- ") == 1_001
    assert "- and 2 more" in letter.text


# The bytes


def test_a_message_is_plain_text_and_html_marked_as_automatic() -> None:
    message = sent(LETTER, reply_to="Help <help@fair.example>", headers={"X-Kind": "return_window"})
    assert message.get_content_type() == "multipart/alternative"
    parts = [part.get_content_type() for part in message.iter_parts()]
    assert parts == ["text/plain", "text/html"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Fair Market <returns@fair.example>"
    assert message["Reply-To"] == "Help <help@fair.example>"
    assert message["X-Kind"] == "return_window"
    assert message["Date"].datetime == NOW
    assert message["Message-ID"] == message_id("7.0.outcome.0.buyer", "fair.example")


def test_the_message_id_is_the_same_for_the_same_key_and_differs_for_another() -> None:
    assert message_id("7.0.outcome.0.buyer", "fair.example") == message_id("7.0.outcome.0.buyer", "fair.example")
    assert message_id("7.0.outcome.0.buyer", "fair.example") != message_id("7.0.outcome.0.seller", "fair.example")
    assert re.fullmatch(r"<[0-9a-f]{32}@fair\.example>", message_id("7.0.outcome.0.buyer", "fair.example"))
    assert message_id("7", "bücher.example").endswith("@xn--bcher-kva.example>")


@pytest.mark.parametrize("text", ["x" * 5_000, "é" * 5_000, "x" * 990, "x" * 991, ".\r\n.."])
def test_no_line_is_longer_than_998_octets_and_none_is_changed(text: str) -> None:
    # `sent` measures every line.
    message = sent(Letter("s", text + "\n", f"<p>{text}</p>\n"))
    plain = message.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().splitlines() == text.splitlines()


def test_a_plain_letter_can_be_read_as_it_is_kept() -> None:
    letter = write_letter(BUYER_REMINDER, FACTS)
    raw = compose(
        letter,
        sender="a@b.example",
        to_name=None,
        to_address="c@d.example",
        reply_to=None,
        message_id="<x@y>",
        date=NOW,
    )
    assert letter.text.replace("\n", "\r\n").encode() in raw


def test_long_names_and_subjects_are_folded_into_words_that_come_back_whole() -> None:
    name, subject = "Zoë Ærø " * 12, "Über die Bestellung " * 7
    raw = compose(
        Letter(subject.strip(), LETTER.text, LETTER.html),
        sender="Märkte <returns@fair.example>",
        to_name=name,
        to_address=f"{'z' * 64}@{'people.' * 20}example",
        reply_to=None,
        message_id=f"<{'a' * 32}@{'mail.' * 20}example>",
        date=NOW,
    )
    words = re.findall(rb"=\?utf-8\?[bq]\?.*?\?=", raw)
    assert words and all(len(word) <= 75 for word in words)
    assert f"Message-ID: <{'a' * 32}@{'mail.' * 20}example>\r\n".encode() in raw
    # Not with email.policy.default, whose parser keeps the space between two encoded words of a name (RFC 2047 6.2).
    message = email.message_from_bytes(raw)
    to, title = (str(make_header(decode_header(message[header]))) for header in ("To", "Subject"))
    assert to == f"{name.strip()} <{'z' * 64}@{'people.' * 20}example>"
    assert title == subject.strip()


def test_a_long_address_in_a_further_header_is_not_encoded() -> None:
    url = f"<https://fair.example/{'u' * 300}>"
    assert sent(LETTER, headers={"List-Unsubscribe": url})["List-Unsubscribe"] == url
    raw = compose(
        LETTER,
        sender="a@b.example",
        to_name=None,
        to_address="c@d.example",
        reply_to=None,
        message_id="<x@y>",
        date=NOW,
        headers={"List-Unsubscribe": url},
    )
    assert f"List-Unsubscribe: {url}\r\n".encode() in raw


@pytest.mark.parametrize("name", ["Zoe", "Zoë"])
def test_a_repeat_is_the_same_in_every_octet(name: str) -> None:
    assert sent(LETTER, to_name=name).as_bytes() == sent(LETTER, to_name=name).as_bytes()


def test_a_letter_cannot_hold_its_own_boundary() -> None:
    boundary = sent(LETTER).get_boundary()
    forged = Letter(LETTER.subject, f"{LETTER.text}\n--{boundary}--\n", LETTER.html)
    body = sent(forged).get_body(("html",))
    assert body is not None and "a text." in body.get_content()


def test_a_header_that_no_line_can_hold_is_refused() -> None:
    with pytest.raises(NoticeRefused, match="X-Kind"):
        sent(LETTER, headers={"X-Kind": "a" * 984})
    assert sent(LETTER, headers={"X-Kind": "a" * 982})["X-Kind"] == "a" * 982


@pytest.mark.parametrize("text", ["no line's end", "ends with a space \n", "tab\tand\x00nul é\n", "é" * 200, "\n\n"])
def test_an_encoded_text_comes_back_whole(text: str) -> None:
    body = sent(Letter("s", text, "<p>x</p>\n")).get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").removesuffix("\n") == text.removesuffix("\n")


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "zoe@people.example",
        "zoe+tag@people.test",
        "ops@localhost",
        "ops@mailhost",
        "ops@mail.local",
        "ops@shop.internal",
        "zoe@bücher.example",
        "zoë@bücher.example",
        "o'hara@people.example",
        " zoe@people.example ",
    ],
)
def test_an_address_in_order_has_no_fault(address: str) -> None:
    assert address_fault(address) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (None, "There is no e-mail address"),
        ("  ", "There is no e-mail address"),
        ("zoe", "@-sign"),
        ("zoe@", "after the @-sign"),
        ("a@b@c.example", "@-sign"),
        ("zoe@people..example", "period"),
        ("zoe@people.example\n", "line break"),
        ("a\x00b@people.example", "control character"),
        ("a@b.example,c@d.example", "comma|invalid|\\,"),
        ("Zoe <zoe@people.example>", "name"),
        ("z" * 100_000 + "@people.example", "too long"),
    ],
)
def test_a_fault_of_an_address_is_one_sentence(address: str | None, reason: str) -> None:
    fault = address_fault(address)
    assert fault is not None
    assert re.search(reason, fault)
    assert fault.endswith(".") and "\n" not in fault and len(fault) < 300


def test_a_mailbox_is_a_name_and_an_address() -> None:
    assert mailbox("Shop <returns@shop.example>") == ("Shop", "returns@shop.example")
    assert mailbox("returns@shop.example") == (None, "returns@shop.example")
