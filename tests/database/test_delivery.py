"""Delivery: each notice reaches the mail server once, while it is true; what cannot go out says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import insert

from returnclock import parcels, round
from returnclock.errors import DatabaseUnreachable, DeliveryUncertain, MailServerDown, NoticeDeferred, NoticeRefused
from returnclock.hands import Mark, Parcel, Post, turn
from returnclock.mail import FolderMailer
from returnclock.round import MOST_IN_HAND
from returnclock.tables.clock import events, runs
from tests.database.market import DAY, HOUR, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY
SELLER, BUYER = "ana@shop.example", "bea@home.example"


@pytest.fixture
def dispute(market: Market) -> int:
    """A dispute that was just escalated: a notice to each party waits."""
    order = market.order(
        number="A-17",
        seller_id=market.insert("sellers", name="Ana", email=SELLER),
        buyer_id=market.insert("buyers", name="Bea", email=BUYER),
    )
    dispute = market.dispute(order_id=order)
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=DUE)
    return dispute


def states(market: Market) -> dict[str, str]:
    return {row.party: row.state for row in market.notices()}


class Killed(BaseException):
    """A worker that dies."""


@contextmanager
def dying_when_taken(market: Market, *addresses: str) -> Iterator[list[str]]:
    """The mail server takes all letters; a worker that has handed over one to these addresses dies before it hears so."""
    taken: list[str] = []

    def take(address: str, raw: bytes, message_id: str, meanwhile: object) -> None:
        if address in addresses:
            taken.append(message_id)
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(market.mailer, "send", take)
        yield taken


def test_each_notice_is_sent_once(market: Market, dispute: int) -> None:
    result = market.run("deliver-mail")
    again = market.run("deliver-mail", at=DUE + 30 * DAY)

    assert (result["changed"], again["examined"]) == (2, 0)
    assert sorted(market.mailer.addresses()) == [SELLER, BUYER]
    assert all("A-17" in message.text for message in market.mailer.taken)
    for row in market.notices():
        assert (row.state, row.sent_at, row.attempts, row.error, row.leased_by) == ("sent", DUE, 1, None, None)
        assert row.message_id in [message.message_id for message in market.mailer.taken]
    assert market.events("seller_response", dispute).count("notice:sent") == 2


def test_a_folder_keeps_one_file_for_each_notice(market: Market, dispute: int) -> None:
    folder = market.folder / "mail"
    market.mailer = FolderMailer(folder)  # type: ignore[assignment]
    market.run("deliver-mail")
    market.run("deliver-mail")

    kept = sorted(path.read_bytes() for path in folder.glob("*.eml"))
    assert len(kept) == 2
    assert any(SELLER.encode() in raw for raw in kept)
    assert any(BUYER.encode() in raw for raw in kept)


def test_a_notice_of_a_dispute_reopened_since_is_suppressed(market: Market, dispute: int) -> None:
    market.update("disputes", dispute, status="awaiting_seller")
    market.run("stamp")
    market.run("deliver-mail")

    assert market.mailer.taken == []
    assert states(market) == {"seller": "suppressed", "buyer": "suppressed"}
    assert all("re-opened" in row.error for row in market.notices())


def test_a_notice_of_a_deleted_row_is_suppressed(market: Market, dispute: int) -> None:
    market.delete("disputes", dispute)
    market.run("deliver-mail")

    assert states(market) == {"seller": "suppressed", "buyer": "suppressed"}


def test_a_flag_that_was_put_right_before_the_mail_is_not_told(market: Market) -> None:
    refund = market.refund()
    market.run("stamp")
    market.run("flag-late-refunds", at=MONDAY + 20 * DAY)
    market.update("refunds", refund, status="completed", completed_at=MONDAY + 20 * DAY)
    market.run("deliver-mail", at=MONDAY + 21 * DAY)

    assert market.mailer.taken == []
    assert {row.state for row in market.notices()} == {"suppressed"}


def test_a_deferred_notice_is_tried_again_after_a_growing_pause(market: Market, dispute: int) -> None:
    market.mailer.faults[SELLER] = [NoticeDeferred(reason="451 later")] * 6
    pauses = []
    for _ in range(6):
        market.run("deliver-mail")
        (row,) = market.notices(party="seller")
        assert (row.state, row.error) == ("queued", "The mail server deferred this notice: 451 later")
        pauses.append(row.next_attempt_at - market.clock.at)
        assert market.run("deliver-mail", at=row.next_attempt_at - SECOND)["examined"] == 0
        market.clock.at = row.next_attempt_at

    assert timedelta(seconds=22) <= pauses[0] <= timedelta(seconds=38)
    assert all(later > 1.1 * earlier for earlier, later in pairwise(pauses))
    market.run("deliver-mail")
    (row,) = market.notices(party="seller")
    assert (row.state, row.attempts) == ("sent", 7)
    assert market.mailer.addresses().count(BUYER) == 1


def test_a_notice_deferred_for_too_long_is_dead(market: Market, dispute: int) -> None:
    market.mailer.faults[SELLER] = [NoticeDeferred(reason="451 later")]
    market.run("deliver-mail", at=DUE + 5 * DAY + SECOND)

    assert states(market) == {"seller": "dead", "buyer": "sent"}


def test_a_refused_notice_is_dead_and_those_beside_it_go_out(market: Market, dispute: int) -> None:
    market.mailer.faults[SELLER] = [NoticeRefused(reason="550 no such user")]
    market.run("deliver-mail")

    assert states(market) == {"seller": "dead", "buyer": "sent"}
    (row,) = market.notices(party="seller")
    assert "550 no such user" in row.error
    assert market.events("seller_response", dispute).count("notice:dead") == 1
    assert market.run("deliver-mail", at=DUE + DAY)["examined"] == 0


def test_a_server_that_is_down_charges_the_notices_nothing(market: Market, dispute: int) -> None:
    market.mailer.closed = True
    with pytest.raises(MailServerDown):
        market.run("deliver-mail")

    assert [(row.state, row.attempts, row.leased_by) for row in market.notices()] == [("queued", 0, None)] * 2
    market.mailer.closed = False
    market.run("deliver-mail", at=DUE + HOUR)
    assert states(market) == {"seller": "sent", "buyer": "sent"}


def test_a_server_that_goes_down_in_the_middle_loses_nothing_and_sends_nothing_twice(market: Market, dispute: int) -> None:
    market.mailer.faults[BUYER] = [MailServerDown(server="post box", reason="it fell over")]
    with pytest.raises(MailServerDown):
        market.run("deliver-mail")
    assert states(market) == {"seller": "sent", "buyer": "queued"}

    market.run("deliver-mail", at=DUE + HOUR)
    assert sorted(market.mailer.addresses()) == [SELLER, BUYER]


def test_a_worker_that_dies_before_sending_gives_its_lease_back_by_time(market: Market, dispute: int) -> None:
    def die(address: str) -> None:
        raise Killed

    market.mailer.before_send = die
    with pytest.raises(Killed):
        market.run("deliver-mail")
    market.mailer.before_send = lambda address: None

    # What the server was not asked about is free at once; the one in hand may have been half sent.
    assert market.run("deliver-mail", at=DUE + timedelta(minutes=5) - SECOND)["changed"] == 1
    assert market.run("deliver-mail", at=DUE + timedelta(minutes=5))["changed"] == 1
    assert [row.attempts for row in market.notices()] == [2, 1]


def test_a_notice_left_in_sending_is_sent_again_under_the_same_message_id_and_said_to_be_unsure(
    market: Market, dispute: int
) -> None:
    with dying_when_taken(market, SELLER, BUYER) as taken, pytest.raises(Killed):
        market.run("deliver-mail")
    assert sorted(states(market).values()) == ["queued", "sending"]

    market.run("deliver-mail", at=DUE + HOUR)
    assert taken[0] in [message.message_id for message in market.mailer.taken]
    (unsure,) = [row for row in market.notices() if row.message_id == taken[0]]
    assert unsure.state == "sent"
    assert "may have been sent before" in unsure.error
    assert market.events("seller_response", dispute).count("notice:ambiguous") == 1


def test_what_ends_each_worker_that_sends_it_waits_longer_each_time_and_is_given_up_at_last(
    market: Market, dispute: int
) -> None:
    with dying_when_taken(market, SELLER) as taken:
        while market.notices(party="seller")[0].state != "dead":
            market.clock.at += timedelta(minutes=5)
            with suppress(Killed):
                market.run("deliver-mail")
    (row,) = market.notices(party="seller")

    assert "may have been sent before" in row.error
    assert market.clock.at - row.queued_at > 5 * DAY
    assert len(set(taken)) == 1
    assert len(taken) < 60  # it would be more than a thousand times, at every end of a lease
    assert market.events("seller_response", dispute).count("notice:dead") == 1
    assert states(market)["buyer"] == "sent"


def run_that_waits(market: Market, started_at: datetime, task: str = "deliver-mail") -> None:
    row = {"task": task, "trigger": "beat", "actor": "beat", "started_at": started_at, "state": "running"}
    with market.transaction() as connection:
        connection.execute(insert(runs).values(row))


@pytest.mark.parametrize(
    ("started", "has_failed", "sent"),
    [
        (8 * SECOND, False, 2),  # no longer than a tick lasts
        (9 * SECOND, False, 0),
        (SECOND, True, 0),
        (60 * SECOND, True, 2),  # its worker may be dead
    ],
)
def test_no_second_tick_waits_for_a_mail_server_that_keeps_one_waiting(
    market: Market, dispute: int, started: timedelta, has_failed: bool, sent: int
) -> None:
    if has_failed:
        market.mailer.closed = True
        with pytest.raises(MailServerDown):
            market.run("deliver-mail")
        market.mailer.closed = False
        market.clock.at += 60 * SECOND
    run_that_waits(market, market.clock.at - started)
    run_that_waits(market, market.clock.at - started, "escalate-disputes")

    assert market.run("deliver-mail")["changed"] == sent
    assert market.run("deliver-mail", trigger="manual", actor="ada")["changed"] == 2 - sent


def test_two_markets_of_one_sender_write_no_two_letters_under_one_message_id(market: Market, dispute: int) -> None:
    market.run("deliver-mail")
    first = {row.key: row.message_id for row in market.notices()}
    market.sql("UPDATE clock_outbox SET state = 'queued', message_id = NULL, queued_at = :other", other=DUE + SECOND)
    market.run("deliver-mail", at=DUE + HOUR)
    second = {row.key: row.message_id for row in market.notices()}

    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_an_answer_that_never_came_is_unsure_and_tried_again(market: Market, dispute: int) -> None:
    market.mailer.faults[SELLER] = [DeliveryUncertain(server="post box", reason="the connection broke")]
    market.run("deliver-mail")
    assert states(market) == {"seller": "sending", "buyer": "sent"}

    market.run("deliver-mail", at=DUE + HOUR)
    assert states(market) == {"seller": "sent", "buyer": "sent"}
    assert [row.event for row in market.rows(events, event="notice:ambiguous")] == ["notice:ambiguous"]


def test_the_letter_goes_to_the_address_that_holds_when_it_is_sent(market: Market, dispute: int) -> None:
    market.sql("UPDATE sellers SET email = 'new@shop.example'")
    market.run("deliver-mail")

    assert "new@shop.example" in market.mailer.addresses()


def test_a_letter_is_marked_before_it_is_handed_over_and_only_a_few_are_at_once(market: Market, many: int) -> None:
    in_hand: list[set[str]] = []

    def look(address: str) -> None:
        in_hand.append({row.recipient for row in market.notices(state="sending")})
        assert address in in_hand[-1]

    market.mailer.before_send = look
    assert market.run("deliver-mail")["changed"] == many

    assert len(in_hand) == many
    assert max(map(len, in_hand)) <= MOST_IN_HAND
    assert len(in_hand[0]) <= 2  # how fast the server is, is not known yet
    assert {(row.state, row.attempts) for row in market.notices()} == {("sent", 1)}


def test_whatever_ends_a_round_only_the_letter_in_the_servers_hand_stays_unsure(market: Market, many: int) -> None:
    class TimeIsUp(BaseException):
        pass

    def stop(address: str) -> None:
        if len(market.mailer.taken) == many // 2:
            raise TimeIsUp

    market.mailer.before_send = stop
    with pytest.raises(TimeIsUp):
        market.run("deliver-mail")

    found = Counter((row.state, row.attempts, row.leased_by is None) for row in market.notices())
    assert found == {("sent", 1, True): many // 2, ("sending", 1, False): 1, ("queued", 0, True): many // 2 - 1}


def test_what_became_of_letters_is_written_when_the_database_is_back(
    market: Market, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [DatabaseUnreachable(url="x", reason="it restarts") for _ in range(3)]

    def refusing(post: Post, marks: Sequence[Mark], following: Sequence[Parcel]) -> list[Parcel]:
        if any(mark.state == "sent" for mark in marks) and refusals:
            raise refusals.pop()
        return turn(post, marks, following)

    monkeypatch.setattr(round, "turn", refusing)
    with pytest.raises(DatabaseUnreachable):
        market.run("deliver-mail")

    assert not refusals
    sent = [row.message_id for row in market.notices(state="sent")]
    assert sorted(sent) == sorted(message.message_id for message in market.mailer.taken)
    assert len(market.notices(state="queued")) == many - len(sent)
    market.run("deliver-mail", at=DUE + HOUR)
    assert len({message.message_id for message in market.mailer.taken}) == len(market.mailer.taken) == many


def test_what_waited_too_long_is_looked_at_again(market: Market, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [0.0]
    for room in (round, parcels):
        monkeypatch.setattr(room, "monotonic", lambda: passed[0])

    def answer_meanwhile(address: str) -> None:
        market.mailer.before_send = lambda address: None
        passed[0] += round.FRESH_S + 1
        market.sql("UPDATE disputes SET status = 'awaiting_seller'")
        market.run("stamp")

    market.mailer.before_send = answer_meanwhile
    result = market.run("deliver-mail", trigger="cli")  # a tick of beat would leave them to the next

    assert (result["changed"], result["skipped"], result["backlog"]) == (1, many - 1, 0)
    assert Counter(row.state for row in market.notices()) == {"sent": 1, "suppressed": many - 1}
