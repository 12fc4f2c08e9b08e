"""Several connections to the mail server: what holds for one holds for all of them together."""

from __future__ import annotations

import time
from collections import Counter
from threading import Event, current_thread

import pytest

from returnclock import carriers
from returnclock.errors import MailServerDown, NoticeRefused
from returnclock.round import MOST_IN_HAND
from tests.database.market import DAY, HOUR, MONDAY, Market

CONNECTIONS = 3
WORK_S = 0.003  # a server that takes a letter at once leaves nothing to the other connections


@pytest.fixture(autouse=True)
def several(market: Market) -> None:
    market.mailer.connections = CONNECTIONS


def is_carrier() -> bool:
    """Whether a further connection is being used, not the first."""
    return current_thread().name.startswith("carrier")


def down() -> MailServerDown:
    return MailServerDown(server="post box", reason="it fell over")


def found(market: Market) -> Counter[tuple[str, int, bool]]:
    return Counter((row.state, row.attempts, row.leased_by is None) for row in market.notices())


def test_letters_over_several_connections_are_each_sent_once(market: Market, many: int) -> None:
    over: Counter[str] = Counter()

    def work(address: str) -> None:
        over[current_thread().name] += 1
        time.sleep(WORK_S * (4 if is_carrier() else 1))  # the first connection waits for the others

    market.mailer.before_send = work
    assert market.run("deliver-mail")["changed"] == many

    assert len(over) >= 2
    assert len({message.message_id for message in market.mailer.taken}) == len(market.mailer.taken) == many
    assert found(market) == {("sent", 1, True): many}


def test_no_more_connections_are_opened_than_allowed_and_none_for_a_few_letters(market: Market, many: int) -> None:
    opened: list[bool] = []
    market.mailer.before_open = lambda: opened.append(is_carrier())
    market.mailer.before_send = lambda address: time.sleep(WORK_S)

    market.run("deliver-mail", limit=4)
    assert opened == [False]
    market.run("deliver-mail")
    assert Counter(opened) == {False: 2, True: CONNECTIONS - 1}


def test_all_connections_together_have_only_a_few_letters_in_hand(market: Market, many: int) -> None:
    in_hand: list[int] = []

    def look(address: str) -> None:
        time.sleep(WORK_S)
        if not is_carrier():
            in_hand.append(len(market.notices(state="sending")))

    market.mailer.before_send = look
    market.run("deliver-mail")
    assert max(in_hand) <= MOST_IN_HAND


def test_a_connection_that_the_server_refuses_is_done_without(market: Market, many: int) -> None:
    def refuse() -> None:
        if is_carrier():
            raise down()

    market.mailer.before_open = refuse
    market.mailer.before_send = lambda address: time.sleep(WORK_S)
    assert market.run("deliver-mail")["changed"] == many
    assert found(market) == {("sent", 1, True): many}


def test_the_letter_of_a_connection_that_is_lost_goes_out_over_another(market: Market, many: int) -> None:
    lost: list[str] = []

    def lose(address: str) -> None:
        time.sleep(WORK_S)
        if is_carrier():
            lost.append(address)
            raise down()

    market.mailer.before_send = lose
    assert market.run("deliver-mail")["changed"] == many
    assert 1 <= len(lost) < CONNECTIONS  # each is used no more
    assert Counter(market.mailer.addresses())[lost[0]] == 1
    assert found(market) == {("sent", 1, True): many}


def test_a_letter_that_is_refused_over_any_connection_is_dead_and_those_beside_it_go_out(market: Market, many: int) -> None:
    market.mailer.before_send = lambda address: time.sleep(WORK_S)
    refused = [f"buyer{number}@home.example" for number in range(8, 20)]
    market.mailer.faults = {address: [NoticeRefused(reason="550 no such user")] for address in refused}
    market.run("deliver-mail")
    assert found(market) == {("sent", 1, True): many - 12, ("dead", 1, True): 12}


def test_a_server_that_goes_down_for_all_connections_loses_nothing_and_sends_nothing_twice(market: Market, many: int) -> None:
    def fall_over(address: str) -> None:
        time.sleep(WORK_S)
        if len(market.mailer.taken) >= many // 2:
            raise down()

    market.mailer.before_send = fall_over
    with pytest.raises(MailServerDown):
        market.run("deliver-mail")

    sent = len(market.mailer.taken)
    # Only the letter of the first connection is charged: which of them made the server fall over cannot be known.
    assert found(market) == {("sent", 1, True): sent, ("queued", 1, True): 1, ("queued", 0, True): many - sent - 1}
    market.mailer.before_send = lambda address: None
    market.run("deliver-mail", at=MONDAY + 5 * DAY + HOUR)
    assert len({message.message_id for message in market.mailer.taken}) == len(market.mailer.taken) == many


def test_whatever_ends_a_round_other_connections_finish_their_letter_and_begin_no_other(market: Market, many: int) -> None:
    class TimeIsUp(BaseException):
        pass

    over = False
    begun_after: list[str] = []

    def stop(address: str) -> None:
        nonlocal over
        if is_carrier():
            begun_after.extend([address] if over else [])
            time.sleep(WORK_S * 4)
        elif len(market.mailer.taken) >= many // 2:
            over = True
            raise TimeIsUp
        else:
            time.sleep(WORK_S / 3)  # so that the next to be sent are many

    market.mailer.before_send = stop
    with pytest.raises(TimeIsUp):
        market.run("deliver-mail")

    assert len(begun_after) < CONNECTIONS  # one that had its letter in hand just then
    sent = len(market.mailer.taken)
    assert found(market) == {("sent", 1, True): sent, ("sending", 1, False): 1, ("queued", 0, True): many - sent - 1}


def test_a_letter_whose_answer_is_slow_is_waited_for_when_the_first_connection_is_lost(
    market: Market, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carriers, "PATIENCE_S", 0.0)
    slow: list[str] = []
    asked = Event()

    def work(address: str) -> None:
        if is_carrier():
            slow.append(address)
            asked.set()
            time.sleep(0.5)
        elif asked.wait(0.1 if market.mailer.taken else 0):  # the first connection falls while another is at a letter
            raise down()

    market.mailer.before_send = work
    with pytest.raises(MailServerDown):
        market.run("deliver-mail")

    assert set(slow) <= set(market.mailer.addresses())
    sent = len(market.mailer.taken)
    assert found(market) == {("sent", 1, True): sent, ("queued", 1, True): 1, ("queued", 0, True): many - sent - 1}
