"""A backlog of one kind keeps no other kind, no other task and no worker waiting, and is shared by all who sweep."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, select

from returnclock import claims, sweep
from returnclock import runs as performing
from returnclock.batches import in_rounds
from returnclock.database import writing
from returnclock.ledger import Hand
from returnclock.tables.clock import deadlines, events
from tests.database.market import DAY, MONDAY, SECOND, Market

DUE = MONDAY + 5 * DAY


def fired(market: Market) -> list[str]:
    """The kinds in the order in which their deadlines fired."""
    return [row.kind for row in market.rows(events) if row.event.startswith("refund:")]


def swept(market: Market, task: str, **options: Any) -> Any:
    wiring = market.wiring
    return sweep.sweep(wiring.engine, wiring.clock, wiring.rulebook.tasks()[task], Hand(), **options)


def test_kinds_take_turns_batch_by_batch(market: Market) -> None:
    for _ in range(4):
        market.refund()
    market.run("stamp", at=MONDAY)
    market.clock.at = MONDAY + 30 * DAY
    swept(market, "flag-late-refunds", batch_size=2)

    order = fired(market)
    assert len(order) == 12
    assert all(len(set(order[start : start + 6])) == 3 for start in (0, 6)), order


def test_a_sweep_ends_when_its_time_is_over_and_the_next_goes_on(market: Market) -> None:
    for _ in range(5):
        market.dispute()
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE
    first = swept(market, "escalate-disputes", batch_size=2, seconds=0.0)

    assert (first.total("changed"), first.backlog) == (2, 3)
    assert market.run("escalate-disputes")["changed"] == 3


@pytest.mark.parametrize(("trigger", "changed"), [("beat", [2, 2, 1]), ("cli", [5, 0, 0])])
def test_a_tick_of_beat_is_short_and_the_command_works_until_nothing_is_left(
    market: Market, monkeypatch: pytest.MonkeyPatch, trigger: Any, changed: list[int]
) -> None:
    for _ in range(5):
        market.dispute()
    market.run("stamp", at=MONDAY)
    monkeypatch.setitem(performing.SECONDS, "beat", 0.0)
    wiring = replace(market.wiring, settings=replace(market.wiring.settings, batch_size=2))
    market.clock.at = DUE

    done = [performing.perform(wiring, "escalate-disputes", trigger=trigger, actor="maria") for _ in changed]
    assert [one["changed"] for one in done] == changed


def test_rounds_leave_out_what_came_back_short_and_keep_to_the_limit() -> None:
    waiting = {"a": 5, "b": 2, "c": 0}
    taken: list[tuple[str, int]] = []

    def batch(name: str, most: int) -> int:
        done = min(most, waiting[name])
        waiting[name] -= done
        taken.append((name, done))
        return done

    assert in_rounds([partial(batch, name) for name in waiting], limit=6, size=2) == 6
    assert taken == [("a", 2), ("b", 2), ("c", 0), ("a", 2)]


def test_the_backlog_is_counted_up_to_a_bound(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        market.dispute()
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE
    monkeypatch.setattr(claims, "COUNTED", 2)

    assert swept(market, "escalate-disputes", limit=1, batch_size=1).backlog == 2
    assert swept(market, "escalate-disputes", limit=2, batch_size=1).backlog == 1


def test_a_batch_does_not_read_again_what_the_batches_before_it_fired(market: Market) -> None:
    """What has fired stays in the index until it is cleaned away, which any long transaction puts off."""
    for _ in range(4):
        market.dispute()
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE
    claims: list[str] = []

    def watch(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if " AS moment" in statement and "count(" not in statement:
            claims.append(statement)

    event.listen(market.wiring.engine, "before_cursor_execute", watch)
    try:
        swept(market, "escalate-disputes", batch_size=2)
    finally:
        event.remove(market.wiring.engine, "before_cursor_execute", watch)
    assert len(claims) == 3
    after = "due_at >" if market.dialect in ("mysql", "mariadb") else "due_at, clock_deadlines.id) >"
    assert [after in claim for claim in claims] == [False, True, True]


def test_deadlines_of_one_moment_are_all_taken_however_small_the_batches(market: Market) -> None:
    """All windows of a day end at the same instant."""
    for _ in range(5):
        market.dispute()
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE

    assert swept(market, "escalate-disputes", batch_size=2).total("changed") == 5


def test_a_deadline_that_another_holds_is_passed_over_and_taken_by_the_next_tick(market: Market) -> None:
    if market.dialect == "sqlite":
        return  # one writer at a time: there is nothing to pass over
    for seconds in range(4):
        market.dispute(opened_at=MONDAY + seconds * SECOND)
    market.run("stamp", at=MONDAY)
    market.clock.at = DUE + 10 * SECOND
    with writing(market.wiring.engine) as other:
        second = select(deadlines.c.id).order_by(deadlines.c.due_at).offset(1).limit(1)
        held = other.execute(
            select(deadlines.c.id).where(deadlines.c.id == other.execute(second).scalar_one()).with_for_update()
        )
        assert len(held.all()) == 1
        assert swept(market, "escalate-disputes", batch_size=1).total("changed") == 3
    assert swept(market, "escalate-disputes", batch_size=1).total("changed") == 1


def test_stamping_waits_for_nobody_who_has_another_row_s_deadline_in_hand(market: Market) -> None:
    if market.dialect == "sqlite":
        return  # one writer at a time
    market.dispute()
    market.run("stamp")
    market.dispute()
    with writing(market.wiring.engine) as other:
        assert len(other.execute(select(deadlines.c.id).with_for_update()).all()) == 1
        assert market.run("stamp")["changed"] == 1
