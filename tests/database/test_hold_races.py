"""Holds that end while a sweep looks at them: nothing stays held under no hold, and no time is given back twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text

from returnclock.database import writing
from returnclock.ops import hold as room
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

DUE = MONDAY + 5 * DAY
HELD, RAN = MONDAY + DAY, MONDAY + 8 * DAY  # the same time of day: seven days


@pytest.fixture
def dispute(market: Market) -> int:
    dispute = market.dispute(order_id=market.order(country="DE"))
    market.run("stamp", at=MONDAY)
    return dispute


def overtaken_by(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Between a sweep's reading of the holds and what it does about them, something else is done, once."""
    reading, done = room.reading, threading.Event()

    @contextmanager
    def overtaken(*args: Any, **kwargs: Any) -> Iterator[Connection]:
        with reading(*args, **kwargs) as connection:
            yield connection
        if not done.is_set():
            done.set()
            act()

    monkeypatch.setattr(room, "reading", overtaken)


def test_a_hold_that_two_sweeps_end_gives_its_time_back_once(
    market: Market, operator: Operator, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.hold(at=HELD, country="DE", ends=RAN)
    market.clock.at = RAN
    overtaken_by(monkeypatch, operator.enact)
    operator.enact()

    kept = market.deadline("seller_response", dispute)
    assert (kept.state, kept.promised_at) == ("running", DUE + 7 * DAY)
    assert market.events("seller_response", dispute)[-2:] == ["deadline:held", "deadline:resumed"]


def test_what_was_resumed_is_not_held_again_by_a_sweep_that_had_read_the_hold(
    market: Market, operator: Operator, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = operator.hold(at=HELD, country="DE")["hold"]
    market.clock.at = RAN
    overtaken_by(monkeypatch, lambda: operator.resume_hold(number))
    operator.enact()

    assert market.states("seller_response", dispute) == ["running"]


@pytest.mark.parametrize("wide", [False, True])
def test_a_row_that_was_taken_out_of_a_hold_is_not_held_again(
    market: Market, operator: Operator, dispute: int, monkeypatch: pytest.MonkeyPatch, wide: bool
) -> None:
    operator.hold(*(() if wide else ("disputes", dispute)), at=HELD, **({"country": "DE"} if wide else {}))
    market.clock.at = RAN
    overtaken_by(monkeypatch, lambda: operator.resume("disputes", dispute))
    operator.enact()

    assert market.states("seller_response", dispute) == ["running"]
    assert market.sweep_all(at=DUE + 8 * DAY) == 1


@pytest.mark.parametrize("name", ["postgres_market", "mariadb_market"])  # SQLite has one writer, who waits for nobody
def test_a_sweep_that_waits_for_a_lock_meets_the_holds_as_they_are_then(request: pytest.FixtureRequest, name: str) -> None:
    market: Market = request.getfixturevalue(name)
    operator = Operator(market)
    resumed = market.dispute(order_id=market.order(country="FR"))
    market.run("stamp", at=MONDAY)
    operator.hold(at=MONDAY + HOUR, country="DE")
    operator.hold("disputes", resumed)
    in_hand = market.dispute(order_id=market.order(country="DE"), opened_at=MONDAY + HOUR)
    market.run("stamp")
    market.clock.at = MONDAY + 2 * HOUR
    looking = threading.Thread(target=operator.enact)
    with writing(market.engine) as connection:
        connection.execute(text(f"SELECT id FROM clock_deadlines WHERE subject_id = '{in_hand}' FOR UPDATE"))
        looking.start()
        looking.join(0.5)
        assert looking.is_alive()
        operator.resume("disputes", resumed)
    looking.join(30)

    assert market.states("seller_response", in_hand) == ["held"]
    assert market.states("seller_response", resumed) == ["running"]


def test_a_row_that_leaves_the_scope_of_its_hold_runs_again(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold(at=HELD, country="DE")
    market.update("orders", market.row("disputes", dispute).order_id, country="FR")
    assert market.run("reconcile", at=RAN)["by_kind"]["seller_response"]["changed"] == 1

    kept = market.deadline("seller_response", dispute)
    assert (kept.state, kept.promised_at) == ("running", DUE + 7 * DAY)
    assert market.run("reconcile", at=RAN)["changed"] == 0


def test_what_a_hold_still_covers_stays_held(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold(at=HELD, country="DE")
    operator.hold("disputes", dispute, at=HELD)
    market.run("reconcile", at=RAN)
    assert market.states("seller_response", dispute) == ["held"]


def test_a_later_hold_that_reaches_further_back_gives_no_day_twice(market: Market, operator: Operator, dispute: int) -> None:
    operator.hold("disputes", dispute, at=HELD)
    operator.resume("disputes", dispute, at=HELD + 3 * DAY)
    operator.hold("disputes", dispute, at=HELD + 3 * DAY + HOUR, starts=HELD)
    operator.resume("disputes", dispute, at=HELD + 6 * DAY)

    kept = market.deadline("seller_response", dispute)
    assert kept.promised_at == DUE + 6 * DAY
