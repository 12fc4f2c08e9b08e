"""Stamping beside somebody who has deadlines in hand for long: it waits for none, puts their rows off, and forgets none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from returnclock import purge, stamp, stamp_batch
from returnclock.database import writing
from returnclock.ledger import Hand
from returnclock.ops import extend as extending
from returnclock.tables.clock import changes, deadlines
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

EARLIER = MONDAY - timedelta(minutes=20)


@pytest.fixture
def market(server_market: Market) -> Market:
    return server_market


@contextmanager
def in_hand(market: Market, *wanted: Any) -> Iterator[Connection]:
    """A transaction of ours that has the deadlines of which all this is true under lock."""
    with writing(market.engine) as connection:
        chosen = select(deadlines.c.id).where(*wanted).order_by(deadlines.c.id)
        connection.execute(chosen.with_for_update()).all()
        yield connection


def of(kind: str, *subject_ids: int) -> tuple[Any, ...]:
    return deadlines.c.kind == kind, deadlines.c.subject_id.in_([str(one) for one in subject_ids])


def waiting(market: Market) -> list[tuple[str, int]]:
    return [(row.table_name, int(row.subject_id)) for row in market.rows(changes)]


def test_a_row_whose_deadline_somebody_has_in_hand_keeps_no_other_waiting_and_is_looked_at_afterwards(
    market: Market, dispute: int
) -> None:
    market.update("disputes", dispute, status="awaiting_buyer")
    other = market.dispute()
    with in_hand(market, *of("seller_response", dispute)):
        done = market.run("stamp", at=MONDAY + HOUR)
        assert market.states("seller_response", other) == ["running"]
        assert (waiting(market), done["backlog"]) == ([("disputes", dispute)], 1)
        assert done["by_kind"]["seller_response"] == {**done["by_kind"]["seller_response"], "examined": 2, "skipped": 1}

    market.run("stamp")
    assert market.states("seller_response", dispute) == ["met"]
    assert waiting(market) == []


def test_what_is_put_off_counts_from_when_it_was_noted(market: Market, dispute: int) -> None:
    for moment in (EARLIER, MONDAY):
        text = "INSERT INTO clock_changes (table_name, subject_id, noted_at) VALUES ('disputes', :of, :at)"
        market.sql(text, of=str(dispute), at=moment)
    with in_hand(market, *of("seller_response", dispute)):
        market.run("stamp")
        market.run("stamp")
    (change,) = market.rows(changes)
    assert change.noted_at == EARLIER


def test_a_refund_of_which_one_deadline_is_in_hand_has_the_others_settled_and_that_one_later(market: Market) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    others = ("refund_inspection", "refund_mediation")
    market.update("refunds", refund, status="completed", completed_at=MONDAY + HOUR)
    with in_hand(market, *of("refund_completion", refund)):
        market.run("stamp", at=MONDAY + HOUR)
        assert market.states("refund_completion", refund) == ["running"]
        assert {*market.states(others[0], refund), *market.states(others[1], refund)} <= {"met", "void"}

    market.run("stamp")
    assert market.states("refund_completion", refund) == ["met"]
    for kind in ("refund_completion", *others):
        assert len(market.events(kind, refund)) == 2


def test_what_is_put_off_comes_behind_all_others_and_ends_no_run_before_these(market: Market) -> None:
    mine = [market.dispute() for _ in range(3)]
    market.run("stamp", at=MONDAY)
    for one in mine:
        market.update("disputes", one, status="awaiting_buyer")
    others = [market.dispute() for _ in range(4)]
    with in_hand(market, *of("seller_response", *mine)):
        found = stamp.stamp(market.engine, market.clock, market.wiring.rulebook, Hand("clock"), batch_size=2)
        assert [market.states("seller_response", one) for one in others] == [["running"]] * 4
        assert sorted(waiting(market)) == [("disputes", one) for one in mine]
        assert found.backlog == 3
    market.run("stamp")
    assert [market.states("seller_response", one) for one in mine] == [["met"]] * 3


def test_a_limit_is_not_used_up_by_the_same_rows_each_time(market: Market) -> None:
    mine = [market.dispute() for _ in range(2)]
    market.run("stamp", at=MONDAY)
    for one in mine:
        market.update("disputes", one, status="awaiting_buyer")
    other = market.dispute()
    with in_hand(market, *of("seller_response", *mine)):
        for _ in range(3):  # the parties and the order of the other are noted too
            market.run("stamp", trigger="cli", actor="maria", limit=2)
        assert market.states("seller_response", other) == ["running"]


def test_a_bad_row_beside_one_that_is_put_off_is_set_aside_and_nothing_is_lost(
    market: Market, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.update("disputes", dispute, status="awaiting_buyer")
    bad, *good = (market.dispute() for _ in range(4))
    check = stamp_batch.anchor_fault

    def breaking(kind: Any, row: Any, now: Any) -> Any:
        if row.subject_id == str(bad):
            raise OverflowError("no calendar has such a day")
        return check(kind, row, now)

    monkeypatch.setattr(stamp_batch, "anchor_fault", breaking)
    with in_hand(market, *of("seller_response", dispute)):
        market.run("stamp")
        assert [market.states("seller_response", one) for one in good] == [["running"]] * 3
        assert (list(market.open_problems("disputes", bad)), waiting(market)) == (["unreadable_row"], [("disputes", dispute)])
    market.run("stamp")
    assert market.states("seller_response", dispute) == ["met"]


def test_a_worker_that_dies_as_it_puts_off_a_row_leaves_its_change(
    market: Market, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.update("disputes", dispute, status="awaiting_buyer")
    before = waiting(market)

    def dying(*_: Any) -> None:
        raise KeyboardInterrupt

    with in_hand(market, *of("seller_response", dispute)):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(stamp, "delete_rows", dying)
            market.run("stamp")
        assert waiting(market) == before
    market.run("stamp")
    assert (market.states("seller_response", dispute), waiting(market)) == (["met"], [])


def test_a_problem_of_a_row_that_is_put_off_is_not_taken_for_mended(market: Market) -> None:
    refund = market.refund()
    market.run("stamp", at=MONDAY)
    market.update("refunds", refund, started_at=datetime(1969, 1, 1, tzinfo=UTC))
    market.run("stamp")
    told = market.open_problems("refunds", refund)
    assert told

    market.update("refunds", refund, currency="EUR")
    with in_hand(market, deadlines.c.subject_id == str(refund)):
        market.run("stamp")
        assert market.open_problems("refunds", refund) == told
    market.update("refunds", refund, started_at=MONDAY)
    market.run("stamp")
    assert market.open_problems("refunds", refund) == {}


def test_an_order_whose_window_is_in_hand_is_looked_at_later_though_only_its_dispute_was_noted(market: Market) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    dispute = market.dispute(order_id=order)
    with in_hand(market, *of("return_window", order)):
        market.run("stamp", at=MONDAY + HOUR)
        assert (market.states("return_window", order), waiting(market)) == (["running"], [("orders", order)])
        assert market.states("seller_response", dispute) == ["running"]
    market.run("stamp")
    assert market.states("return_window", order) == ["met"]


def met_halfway(monkeypatch: pytest.MonkeyPatch, room: Any, name: str, act: Callable[[], Any]) -> None:
    """Something else is done, and comes to its end, while a transaction is between two of its statements."""
    do = getattr(room, name)

    def halfway(*args: Any, **how: Any) -> Any:
        done = do(*args, **how)
        other = threading.Thread(target=act)
        other.start()
        other.join(10)
        assert not other.is_alive()
        return done

    monkeypatch.setattr(room, name, halfway)


def test_new_rows_are_stamped_while_an_operator_extends_all_the_others(
    market: Market, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.update("orders", market.row("disputes", dispute).order_id, country="DE")
    market.sql("INSERT INTO clock_changes (table_name, subject_id) VALUES ('disputes', :of)", of=str(dispute))
    new: list[int] = []

    def stamp_another() -> None:
        new.append(market.dispute())
        market.run("stamp")

    met_halfway(monkeypatch, extending, "write_moves", stamp_another)
    operator = Operator(market)
    assert extending.extend(operator.desk(), operator.scope(country="DE"), add="2 days")["extended"] == 1
    assert {state for one in new for state in market.states("seller_response", one)} == {"running"}
    market.run("stamp")
    assert market.deadline("seller_response", dispute).promised_at == MONDAY + 7 * DAY
    assert waiting(market) == []


def test_what_purge_moves_away_while_its_row_is_stamped_does_not_begin_anew(
    market: Market, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)
    market.run("deliver-mail")
    market.run("stamp")
    market.sql("INSERT INTO clock_changes (table_name, subject_id) VALUES ('disputes', :of)", of=str(dispute))
    met_halfway(monkeypatch, purge, "_move", lambda: market.run("stamp"))
    assert market.run("purge", at=MONDAY + 900 * DAY)["by_kind"]["seller_response"]["changed"] == 1
    market.run("stamp")
    assert (market.states("seller_response", dispute), waiting(market)) == ([], [])
