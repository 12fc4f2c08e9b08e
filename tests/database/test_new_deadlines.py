"""A new deadline and its event are written together, once, whatever the subject's id looks like."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from returnclock.database import writing
from returnclock.ledger import Hand
from returnclock.new_deadlines import insert_explained
from returnclock.tables.clock import deadlines, events, policies
from returnclock.tables.keys import among
from tests.database.market import MONDAY, Market

# What an array of PostgreSQL would read as its own marks.
ODD_IDS = ["plain", "a,b", '"quoted"', "back\\slash", '\\"', "{}", "NULL", "", " space "]
HAND = Hand("clock", 7)


def _row(subject_id: str, policy_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
    values = {
        "kind": "seller_response",
        "subject_id": subject_id,
        "party": "seller",
        "starts_at": MONDAY,
        "promised_at": MONDAY + timedelta(days=5),
        "due_at": MONDAY + timedelta(days=5),
        "remind_at": None,
        "policy_id": policy_id,
        "schedule": {"zone": "UTC"},
        "stamped_at": MONDAY,
    }
    return values, {"steps": [f"Starts for {subject_id}, “ä”."]}


def _insert(market: Market, *subject_ids: str) -> int:
    market.order()  # something to count by: the policy that the rows keep
    market.dispute()
    market.run("stamp")
    (policy, *_) = market.rows(policies)
    with writing(market.engine) as connection:
        return insert_explained(connection, HAND, [_row(subject_id, policy.id) for subject_id in subject_ids])


def _told(market: Market) -> dict[str, Any]:
    told = market.rows(events, event="deadline:stamped", actor="clock", run_id=HAND.run_id)
    kept = {row.id: row.subject_id for row in market.rows(deadlines)}
    assert [kept[event.deadline_id] for event in told] == [event.subject_id for event in told]
    return {event.subject_id: event.detail for event in told}


def test_each_new_deadline_gets_its_own_explanation_whatever_its_subject_is_called(market: Market) -> None:
    assert _insert(market, *ODD_IDS) == len(ODD_IDS)
    assert _told(market) == {subject_id: _row(subject_id, 0)[1] for subject_id in ODD_IDS}


def test_a_deadline_that_another_worker_has_written_is_left_alone_and_not_told_again(market: Market) -> None:
    assert _insert(market, "a", "b") == 2
    assert _insert(market, "a", "b", "c") == 1
    assert sorted(_told(market)) == ["a", "b", "c"]
    assert len(market.rows(events, subject_id="a")) == 1


def test_odd_ids_are_found_among_others(market: Market) -> None:
    _insert(market, *ODD_IDS)
    with writing(market.engine) as connection:
        chosen = select(deadlines.c.subject_id).where(among(deadlines.c.subject_id, ODD_IDS))
        assert sorted(connection.execute(chosen).scalars()) == sorted(ODD_IDS)
        assert connection.execute(select(deadlines.c.id).where(among(deadlines.c.subject_id, []))).all() == []
