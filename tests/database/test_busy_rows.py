"""Interventions beside a front end, and when a connection is lost: nobody waits for them, and nothing is done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from returnclock.errors import CommitUncertain, Refused, ReturnclockError
from returnclock.ops import extend as extending
from returnclock.ops import turn
from returnclock.ops.pause import pause, unpause
from returnclock.ops.requeue import requeue
from returnclock.tables.clock import events, runs
from returnclock.tables.interventions import pauses
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

DUE = MONDAY + 5 * DAY


@pytest.fixture
def market(server_market: Market) -> Market:
    return server_market


@contextmanager
def in_hand(market: Market, dispute: int) -> Iterator[Connection]:
    """A front end's transaction that has changed a dispute."""
    with market.transaction() as connection:
        connection.execute(text(f"UPDATE disputes SET reason = 'x' WHERE id = {dispute}"))
        yield connection


def begun(act: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    said: list[Any] = []

    def run() -> None:
        try:
            said.append(act())
        except ReturnclockError as fault:
            said.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, said


def test_an_operator_who_waits_for_a_front_end_stops_no_stamping(market: Market, operator: Operator, dispute: int) -> None:
    with in_hand(market, dispute):
        waiting, said = begun(lambda: operator.extend("disputes", dispute, add="2 days"))
        waiting.join(0.5)
        market.sql(f"INSERT INTO clock_changes (table_name, subject_id) VALUES ('disputes', '{dispute}')")
        other = market.dispute()
        stamping, _ = begun(lambda: market.run("stamp"))
        stamping.join(5)
        assert (stamping.is_alive(), market.states("seller_response", other)) == (False, ["running"])
        assert waiting.is_alive()
    waiting.join(30)
    stamping.join(30)

    assert said[0]["extended"] == 1
    assert market.deadline("seller_response", dispute).promised_at == DUE + 2 * DAY


ACTS: dict[str, Callable[[Operator, int], Any]] = {
    "extend": lambda operator, dispute: operator.extend("disputes", dispute, add="2 days"),
    "rehearse": lambda operator, dispute: operator.extend("disputes", dispute, add="2 days", dry_run=True),
    "fire": lambda operator, dispute: operator.fire("disputes", dispute),
    "undo": lambda operator, dispute: operator.undo("disputes", dispute),
}


@pytest.mark.parametrize("name", ACTS)
def test_a_row_that_somebody_keeps_in_hand_is_refused_in_the_end_and_left_as_it_was(
    market: Market, operator: Operator, dispute: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(turn, "LOOKS", 3)
    if name == "undo":
        market.run("escalate-disputes", at=DUE)
    before = market.deadline("seller_response", dispute)
    with in_hand(market, dispute), pytest.raises(Refused, match="is changing it just now"):
        ACTS[name](operator, dispute)
    assert market.deadline("seller_response", dispute) == before


def test_an_intervention_that_a_deadlock_rolled_back_is_done_once(
    market: Market, operator: Operator, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failed = extending.write_moves, []

    def as_in_a_deadlock(connection: Connection, *args: Any) -> Any:
        changed = write(connection, *args)
        if not failed:
            failed.append(True)
            told = "40P01" if market.dialect == "postgresql" else "1213"
            raise _refusal(connection, told)
        return changed

    monkeypatch.setattr(extending, "write_moves", as_in_a_deadlock)
    assert operator.extend("disputes", dispute, add="2 days")["extended"] == 1
    assert market.deadline("seller_response", dispute).promised_at == DUE + 2 * DAY
    assert market.events("seller_response", dispute) == ["deadline:stamped", "deadline:extended"]


def _refusal(connection: Connection, told: str) -> OperationalError:
    """What the database says when it has rolled a transaction back, told by the database itself."""
    if connection.dialect.name == "postgresql":
        statement = f"DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '{told}'; END $$"
    else:
        statement = f"SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = {told}, MESSAGE_TEXT = 'deadlock'"
    with pytest.raises(OperationalError) as fault:
        connection.exec_driver_sql(statement)
    return fault.value


def killed_by(market: Market, number: int) -> None:
    kill = f"SELECT pg_terminate_backend({number})" if market.dialect == "postgresql" else f"KILL {number}"
    market.sql(kill)


def number_of(connection: Connection) -> int:
    ask = "SELECT pg_backend_pid()" if connection.dialect.name == "postgresql" else "SELECT CONNECTION_ID()"
    return int(connection.execute(text(ask)).scalar_one())


def test_an_intervention_whose_connection_was_lost_before_its_end_is_done_once(
    market: Market, operator: Operator, dispute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, lost = extending.write_moves, []

    def losing(connection: Connection, *args: Any) -> Any:
        changed = write(connection, *args)
        if not lost:
            lost.append(True)
            killed_by(market, number_of(connection))
        return changed

    monkeypatch.setattr(extending, "write_moves", losing)
    assert operator.extend("disputes", dispute, add="2 days")["extended"] == 1
    assert market.deadline("seller_response", dispute).promised_at == DUE + 2 * DAY


@contextmanager
def lost_at_its_commit(market: Market, words: str, is_committed: bool) -> Iterator[None]:
    """The connection of the first transaction with such a statement is lost when it commits: before that is done, or after."""
    lost: list[bool] = []

    def losing(connection: Connection) -> None:
        if not lost and connection.info.pop("is_meant", False):
            lost.append(True)
            number = number_of(connection)
            if is_committed:
                connection.exec_driver_sql("COMMIT").close()
                number_of(connection)  # so that there is a transaction to commit
            killed_by(market, number)

    def seen(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(words) and not lost:
            connection.info["is_meant"] = True

    event.listen(market.engine, "before_cursor_execute", seen)
    event.listen(market.engine, "commit", losing)
    try:
        yield
    finally:
        event.remove(market.engine, "commit", losing)
        event.remove(market.engine, "before_cursor_execute", seen)


@pytest.mark.parametrize("is_committed", [False, True])
def test_an_extension_of_which_nobody_knows_whether_it_was_committed_is_never_given_twice(
    market: Market, operator: Operator, dispute: int, is_committed: bool
) -> None:
    losing = lost_at_its_commit(market, "UPDATE clock_deadlines", is_committed)
    with losing, pytest.raises(CommitUncertain, match="not known whether it was done"):
        operator.extend("disputes", dispute, add="2 days")

    assert market.deadline("seller_response", dispute).promised_at == DUE + is_committed * 2 * DAY


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_pause_of_which_nobody_knows_whether_it_was_committed_is_never_ordered_twice(
    market: Market, operator: Operator, is_committed: bool
) -> None:
    losing = lost_at_its_commit(market, "INSERT INTO clock_pauses", is_committed)
    with losing, pytest.raises(CommitUncertain, match="for seller_response"):
        pause(operator.desk(), "kind", "seller_response")

    assert [row.name for row in market.rows(pauses)] == is_committed * ["seller_response"]


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_requeue_of_which_nobody_knows_whether_it_was_committed_is_not_said_to_have_found_nothing(
    market: Market, operator: Operator, dispute: int, is_committed: bool
) -> None:
    market.run("escalate-disputes", at=DUE)
    market.sql("UPDATE clock_outbox SET state = 'dead', next_attempt_at = NULL")
    losing = lost_at_its_commit(market, "UPDATE clock_outbox", is_committed)
    with losing, pytest.raises(CommitUncertain, match="for the notices"):
        requeue(operator.desk(), ())

    assert {row.state for row in market.notices()} == {"queued" if is_committed else "dead"}


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_run_of_which_nobody_knows_whether_its_beginning_was_committed_has_one_row(
    market: Market, is_committed: bool
) -> None:
    with lost_at_its_commit(market, "INSERT INTO clock_runs", is_committed):
        result = market.run("deliver-mail", trigger="manual", actor="maria")

    assert [(row.id, row.state) for row in market.rows(runs)] == [(result["run_id"], "succeeded")]


OF_ITSELF: dict[str, tuple[str, Callable[[Operator], Any]]] = {
    "pause": ("INSERT INTO clock_pauses", lambda operator: pause(operator.desk(), "kind", "seller_response")["what"]),
    "unpause": ("UPDATE clock_pauses", lambda operator: unpause(operator.desk(), "task", "deliver-mail")["ended"]),
    "requeue": ("UPDATE clock_outbox", lambda operator: requeue(operator.desk(), ())["matched"]),
}


@pytest.mark.parametrize("name", OF_ITSELF)
def test_what_a_deadlock_rolled_back_is_begun_anew_by_itself(
    market: Market, operator: Operator, dispute: int, name: str
) -> None:
    words, act = OF_ITSELF[name]
    market.run("escalate-disputes", at=DUE)
    market.sql("UPDATE clock_outbox SET state = 'dead', next_attempt_at = NULL")
    pause(operator.desk(), "task", "deliver-mail")
    failed: list[bool] = []

    def as_in_a_deadlock(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(words) and not failed:
            failed.append(True)
            raise _refusal(connection, "40P01" if market.dialect == "postgresql" else "1213")

    event.listen(market.engine, "after_cursor_execute", as_in_a_deadlock)
    try:
        assert act(operator) in ("kind", 1, 2)
    finally:
        event.remove(market.engine, "after_cursor_execute", as_in_a_deadlock)

    told = {"pause": "pause:begun", "unpause": "pause:ended", "requeue": "notice:requeued"}[name]
    assert (failed, [row.event for row in market.rows(events)].count(told)) == ([True], 2 if name == "pause" else 1)


def test_what_is_answered_while_an_operator_waits_is_not_fired(market: Market, operator: Operator, dispute: int) -> None:
    market.clock.at = MONDAY + HOUR
    with in_hand(market, dispute) as front_end:
        waiting, said = begun(lambda: operator.fire("disputes", dispute))
        waiting.join(0.5)
        front_end.execute(text(f"UPDATE disputes SET status = 'awaiting_buyer' WHERE id = {dispute}"))
    waiting.join(30)

    assert isinstance(said[0], Refused)
    assert market.row("disputes", dispute).status == "awaiting_buyer"
