"""Two stamps at once: what one of them cannot see yet is looked at again, and nobody is blamed for another's row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from returnclock import stamp, stamp_batch
from returnclock.database import writing
from returnclock.tables.clock import changes
from tests.database.market import DAY, HOUR, MONDAY, Market


@pytest.fixture
def market(server_market: Market) -> Market:
    server_market.clock.at = MONDAY + HOUR
    return server_market


def overtaken(market: Market, monkeypatch: pytest.MonkeyPatch, dispute: int, **values: Any) -> None:
    """Stamp; after it has read the dispute the front end changes that, and another worker takes the change first."""
    read, done = stamp_batch.read_facts, []

    def read_then(connection: Any, kind: Any, ids: Any, **how: Any) -> Any:
        rows = read(connection, kind, ids, **how)
        if kind.name == "seller_response" and not done:
            done.append(market.update("disputes", dispute, **values))
            market.run("stamp")
            assert len(market.rows(changes, table_name="disputes")) == 1  # that of the first worker, who has not committed
        return rows

    monkeypatch.setattr(stamp_batch, "read_facts", read_then)
    market.run("stamp")
    market.run("stamp")


def test_a_dispute_that_is_answered_while_it_is_stamped_has_no_deadline_left(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute = market.dispute()
    overtaken(market, monkeypatch, dispute, status="awaiting_buyer")
    assert market.states("seller_response", dispute) == ["met"]


def test_a_message_that_comes_while_a_dispute_is_stamped_leaves_one_deadline(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute = market.dispute()
    overtaken(market, monkeypatch, dispute, seller_replied_at=MONDAY + HOUR)
    running = [one.due_at for one in market.deadlines("seller_response", dispute) if one.state == "running"]
    assert running == [MONDAY + HOUR + 5 * DAY]


def test_a_row_is_not_set_aside_for_the_one_that_another_worker_has_in_hand(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = market.dispute(), market.dispute()
    check, put_away, done = stamp_batch.anchor_fault, stamp._set_aside, []

    def breaking(kind: Any, row: Any, now: datetime) -> Any:
        if row.subject_id == str(bad):
            raise OverflowError("no calendar has such a day")
        return check(kind, row, now)

    def put_away_late(run: Any, fault: Exception) -> int:
        if done:
            return put_away(run, fault)
        done.append(fault)
        with writing(run.engine) as another:  # who takes what this one has just let go of
            stamp._take(another, 1)
            return put_away(run, fault)

    monkeypatch.setattr(stamp_batch, "anchor_fault", breaking)
    monkeypatch.setattr(stamp, "_set_aside", put_away_late)
    market.run("stamp")
    market.run("stamp")

    assert (market.states("seller_response", good), market.open_problems("disputes", good)) == (["running"], {})
    assert list(market.open_problems("disputes", bad)) == ["unreadable_row"]
