"""What the operators are told, in a digest and at once; and notices that nobody can be sent."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from returnclock.errors import DeliveryUncertain
from returnclock.kinds import KINDS
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

OVERRUN = datetime(2026, 3, 6, tzinfo=UTC)
DIGEST = OVERRUN + 7 * HOUR  # mail.digest_at is 07:00 in the market's zone, UTC
OPS = '[mail]\nops = "Desk <desk@market.example>"\n'


@pytest.fixture
def overrun(market: Market) -> list[int]:
    """Three refunds whose inspection has just overrun."""
    market.configure(OPS)
    refunds = [market.refund(amount=amount, currency="EUR") for amount in (12.5, 20, 7)]
    market.run("stamp", at=MONDAY)
    assert market.run("flag-late-refunds", at=OVERRUN)["changed"] == 3
    return refunds


def test_overrun_stages_wait_for_the_hour_of_the_digest(market: Market, overrun: list[int]) -> None:
    assert market.run("deliver-mail", at=DIGEST - SECOND)["examined"] == 0
    assert market.run("deliver-mail", at=DIGEST)["changed"] == 3


def test_a_digest_tells_of_all_that_wait_in_one_message(market: Market, overrun: list[int]) -> None:
    market.run("deliver-mail", at=DIGEST)

    (message,) = market.mailer.taken
    assert message.address == "desk@market.example"
    assert all(amount in message.text for amount in ("12.50", "20.00", "7.00"))
    assert {row.state for row in market.notices()} == {"sent"}
    assert market.run("deliver-mail", at=DIGEST + DAY)["examined"] == 0


def test_a_digest_leaves_out_what_was_put_right(market: Market, overrun: list[int]) -> None:
    market.update("refunds", overrun[0], status="processing", inspected_at=OVERRUN + HOUR)
    market.run("stamp")
    market.run("deliver-mail", at=DIGEST)

    (message,) = market.mailer.taken
    assert "12.50" not in message.text
    assert "20.00" in message.text


def test_a_digest_whose_answer_was_lost_goes_again_under_its_own_message_id(market: Market, overrun: list[int]) -> None:
    market.mailer.faults["desk@market.example"] = [DeliveryUncertain(server="post box", reason="the connection broke")]
    market.run("deliver-mail", at=DIGEST)
    (lost,) = {row.message_id for row in market.notices()}
    market.update("refunds", overrun[0], status="processing", inspected_at=OVERRUN + HOUR)  # one line of it is no longer true
    market.refund(amount=33, currency="EUR", started_at=MONDAY + DAY)
    market.run("stamp")
    market.run("flag-late-refunds", at=DIGEST + 4 * DAY - 8 * HOUR)
    market.run("deliver-mail", at=DIGEST + 4 * DAY)

    again, new = sorted(market.mailer.taken, key=lambda message: message.message_id != lost)
    assert (again.message_id, "20.00" in again.text, "33.00" in again.text) == (lost, True, False)
    assert (new.message_id == lost, "20.00" in new.text, "33.00" in new.text) == (False, False, True)


def test_a_late_refund_is_told_to_the_operators_at_once(market: Market) -> None:
    market.configure(OPS)
    market.refund(status="clearing", inspected_at=MONDAY)
    market.run("stamp")
    market.run("flag-late-refunds", at=MONDAY + 15 * DAY)
    market.run("deliver-mail")

    assert "desk@market.example" in market.mailer.addresses()


@pytest.mark.parametrize("email", [None, "", "not an address"])
def test_a_notice_for_whom_no_mail_can_reach_is_dead_and_its_neighbours_go_out(market: Market, email: str | None) -> None:
    seller = market.insert("sellers", name="Ana", email=email)
    market.dispute(order_id=market.order(seller_id=seller))
    market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)
    market.run("deliver-mail")

    assert sorted((row.party, row.state) for row in market.notices()) == [
        ("buyer", "sent"),
        ("buyer", "sent"),
        ("seller", "dead"),
        ("seller", "sent"),
    ]
    assert any(code in market.open_problems("sellers", seller) for code in ("no_address", "bad_address"))


def test_the_problem_of_a_missing_address_stays_until_the_address_is_written(market: Market) -> None:
    seller = market.insert("sellers", name="Ana")
    market.dispute(order_id=market.order(seller_id=seller))
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)
    market.run("deliver-mail")
    for task in ("reconcile", "reconcile"):
        market.run(task)
    assert list(market.open_problems("sellers", seller)) == ["no_address"]

    market.update("sellers", seller, email="ana@shop.example")
    market.run("stamp")
    assert market.open_problems("sellers", seller) == {}


def test_a_text_that_fails_on_one_row_does_not_stop_the_others(market: Market) -> None:
    """A shop's own kind may bring a template that fails on some rows."""
    rulebook = market.wiring.rulebook
    kinds = []
    for kind in KINDS:
        notices = tuple(
            dataclasses.replace(notice, body="{% if order_number == 'X' %}{{ 1 / 0 }}{% endif %}fine")
            for notice in kind.notices
        )
        kinds.append(dataclasses.replace(kind, notices=notices))
    broken = dataclasses.replace(rulebook, kinds=tuple(kinds))
    for number in ("X", "Y"):
        market.dispute(order_id=market.order(number=number))
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)
    market.wiring = dataclasses.replace(market.wiring, rulebook=broken)
    market.run("deliver-mail")

    assert sorted(row.state for row in market.notices()) == ["dead", "dead", "sent", "sent"]


def test_delivery_takes_no_more_than_its_limit(market: Market) -> None:
    for _ in range(3):
        market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)

    result = market.run("deliver-mail", limit=4)

    assert (result["examined"], result["changed"], result["backlog"]) == (4, 4, 2)


def test_two_workers_never_send_the_same_notice(market: Market) -> None:
    """While one worker is sending, another one that starts takes only what is left."""
    for _ in range(2):
        market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)
    others: list[int] = []

    def another_worker(address: str) -> None:
        market.mailer.before_send = lambda address: None
        others.append(int(market.run("deliver-mail")["examined"]))

    market.mailer.before_send = another_worker
    market.run("deliver-mail")

    assert others == [0]
    assert len(market.mailer.addresses()) == len({message.message_id for message in market.mailer.taken}) == 4


def test_a_lease_lasts_until_its_end_and_no_longer(market: Market) -> None:
    """A worker that hangs while it sends loses the rest of its notices to another, and sends none of them itself."""
    market.dispute()
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)

    def hang(address: str) -> None:
        market.mailer.before_send = lambda address: None
        market.run("deliver-mail", at=market.clock.at + timedelta(minutes=6))

    market.mailer.before_send = hang
    # No more than these two: its clerk, who would go on fetching, shares the clock of the test, which jumps.
    market.run("deliver-mail", limit=2)

    sent = [message.address for message in market.mailer.taken]
    assert sorted(set(sent)) == sorted(row.recipient for row in market.notices())
    assert len(sent) == 3  # the one in hand twice, under one Message-ID; the other once
    assert len({message.message_id for message in market.mailer.taken}) == 2
