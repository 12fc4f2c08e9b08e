"""What the shop itself took back after a deadline had taken effect: recorded once, and never undone once more."""

from __future__ import annotations

from typing import Any

import pytest

from returnclock import stamp_batch
from returnclock.errors import Refused
from returnclock.tables.clock import changes, events
from returnclock.telling import sentence
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

CLOSED = MONDAY + 6 * DAY


@pytest.fixture
def closed(market: Market) -> int:
    """A dispute that was closed because the goods were not sent back."""
    market.configure('[policy.return_shipment]\nperiod = "5 days"\n')
    dispute = market.dispute(status="accepted", accepted_at=MONDAY)
    market.run("stamp", at=MONDAY)
    assert market.run("close-stale-returns", at=CLOSED)["changed"] == 1
    return dispute


def reopened(market: Market, dispute: int) -> int:
    market.update("disputes", dispute, status="accepted")
    market.run("stamp", at=CLOSED + HOUR)
    return dispute


def note(market: Market, dispute: int) -> None:
    """Have the row stamped once more, as after any change of the front end's."""
    market.sql("INSERT INTO clock_changes (table_name, subject_id) VALUES ('disputes', :subject)", subject=str(dispute))


def of_the_shipment(market: Market, dispute: int) -> list[str]:
    return market.events("return_shipment", dispute)


def test_what_the_shop_closed_itself_is_not_undone(market: Market, operator: Operator, closed: int) -> None:
    market.update("disputes", reopened(market, closed), status="closed", return_shipped_at=CLOSED + 2 * HOUR)
    market.run("stamp", at=CLOSED + 3 * HOUR)

    assert operator.undo(at=CLOSED + DAY, dry_run=True, kind="return_shipment")["would"] == 0
    with pytest.raises(Refused, match="changed since"):
        operator.undo("disputes", closed)
    assert market.row("disputes", closed).status == "closed"
    assert market.states("return_shipment", closed) == ["fired"]


def test_a_window_that_the_shop_opened_and_ended_again_is_not_opened_though_its_date_is_still_ours(
    market: Market, operator: Operator
) -> None:
    order = market.order(delivered_at=MONDAY)
    market.run("stamp", at=MONDAY)
    market.run("expire-return-windows", at=MONDAY + 20 * DAY)
    for status in ("open", "expired"):
        market.update("orders", order, return_status=status)
        market.run("stamp")
    with pytest.raises(Refused, match="changed since"):
        operator.undo("orders", order, at=MONDAY + 21 * DAY)


def test_that_the_shop_reverted_is_recorded_once_and_told(market: Market, closed: int) -> None:
    reopened(market, closed)
    note(market, closed)
    for task in ("stamp", "reconcile", "reconcile"):
        market.run(task)

    assert of_the_shipment(market, closed) == ["deadline:stamped", "dispute:closed", "deadline:reverted"]
    (told,) = market.rows(events, event="deadline:reverted")
    assert (told.actor, told.at) == ("clock", CLOSED + HOUR)
    assert "by hand" not in sentence(told._mapping)
    assert list(market.open_problems("disputes", closed)) == ["reopened_after_end"]


def test_each_firing_that_the_shop_reverts_is_recorded(market: Market, operator: Operator, closed: int) -> None:
    operator.undo("disputes", closed, at=CLOSED + HOUR)
    market.run("close-stale-returns", at=CLOSED + 10 * DAY)
    reopened(market, closed)
    market.update("disputes", closed, status="closed")

    happened = ["deadline:stamped", "dispute:closed", "deadline:undone", "dispute:closed", "deadline:reverted"]
    assert of_the_shipment(market, closed) == happened
    with pytest.raises(Refused):
        operator.undo("disputes", closed, at=CLOSED + 11 * DAY)


def test_a_dispute_that_is_closed_and_never_reopened_is_not_recorded_as_reverted(market: Market, closed: int) -> None:
    note(market, closed)
    market.run("stamp")
    market.run("reconcile")
    assert of_the_shipment(market, closed) == ["deadline:stamped", "dispute:closed"]


def test_a_seller_s_turn_that_begins_again_is_counted_anew_and_not_recorded_as_reverted(market: Market, dispute: int) -> None:
    market.run("escalate-disputes", at=CLOSED)
    market.update("disputes", dispute, status="awaiting_seller")
    market.run("stamp")
    assert market.events("seller_response", dispute)[-1] == "deadline:reopened"
    assert "deadline:reverted" not in market.events()


def test_nothing_is_recorded_of_what_was_moved_into_the_archive(market: Market, closed: int) -> None:
    market.run("stamp")
    market.run("deliver-mail")
    market.run("purge", at=CLOSED + 401 * DAY)
    market.update("disputes", closed, status="accepted")
    market.run("stamp")
    assert list(market.open_problems("disputes", closed)) == ["reopened_after_end"]
    assert of_the_shipment(market, closed) == []


@pytest.mark.parametrize("market", ["postgresql", "mariadb"], indirect=True)  # SQLite has one writer
def test_two_workers_that_see_it_at_once_record_it_once(market: Market, closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read, put_off = stamp_batch.read_facts, []

    def read_then(connection: Any, kind: Any, ids: Any, **how: Any) -> Any:
        rows = read(connection, kind, ids, **how)
        if kind.name == "return_shipment" and not put_off:
            note(market, closed)  # for the other worker, since this one has the first change in hand
            put_off.append(True)
            market.run("stamp")
            put_off.append(market.rows(changes)[-1].subject_id)
        return rows

    market.update("disputes", closed, status="accepted")
    monkeypatch.setattr(stamp_batch, "read_facts", read_then)
    market.run("stamp")
    assert put_off == [True, str(closed)]
    market.run("stamp")
    assert of_the_shipment(market, closed).count("deadline:reverted") == 1
