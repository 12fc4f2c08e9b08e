"""The recipe of docs/front-end.md for following clock_events: no event is missed and none is handled twice."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, update

from returnclock.database import writing
from returnclock.tables.clock import events
from tests.front_ends.documents import blocks
from tests.front_ends.plain_clients import connect, execute
from tests.system.crowded_market import open_market, present

SQL = [block for block in blocks("front-end.md") if block.language == "sql"]
NOTE = "INSERT INTO shop_events_seen (event_id) VALUES (1)"


def recipe(heading: str, database: str) -> list[str]:
    """The statements of a section, for one database."""
    of = [block for block in SQL if block.heading == heading and set(block.words[1:]) <= {database}]
    return [statement for block in of for statement in block.statements]


class Follower:
    """A front end that follows the feed by the document, and what it did about each event."""

    def __init__(self, url: str) -> None:
        self.database = "sqlite" if url.startswith("sqlite") else url.partition("+")[0]
        self.connection = connect(url)
        self.handled: list[int] = []

    def look(self) -> list[int]:
        (asked,) = recipe("Look for news", self.database)
        return [row[0] for row in execute(self.connection, asked)[1]]

    def handle(self, event_id: int) -> None:
        begin, note, commit = recipe("Handle each once", self.database)
        assert note == NOTE
        execute(self.connection, begin)
        try:
            execute(self.connection, note.replace("(1)", f"({event_id})"))
        except Exception:
            execute(self.connection, "ROLLBACK")
            return
        self.handled.append(event_id)
        execute(self.connection, commit)

    def follow(self) -> None:
        for event_id in self.look():
            self.handle(event_id)
        self.close_the_books()

    def close_the_books(self) -> None:
        ask, *write = recipe("Close the books", self.database)
        ((answer,),) = execute(self.connection, ask)[1]
        for statement in write if answer else ():
            execute(self.connection, re.sub(r"\b1\b", str(answer), statement))

    def kept(self) -> tuple[int, int]:
        """Up to where the books are closed, and how many notes are kept."""
        ((done_to,),) = execute(self.connection, "SELECT done_to FROM shop_feed")[1]
        ((notes,),) = execute(self.connection, "SELECT count(*) FROM shop_events_seen")[1]
        return done_to, notes


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_market(database_url)
    owner = connect(database_url)
    for block in SQL:
        if block.words == ("sql", "owner"):
            for statement in block.statements:
                execute(owner, statement)
    owner.close()
    yield opened
    opened.dispose()


@pytest.fixture
def follower(engine: Engine, database_url: str) -> Iterator[Follower]:
    follows = Follower(database_url)
    yield follows
    follows.connection.close()


def happen(engine: Engine, connection: Connection, *, ago: timedelta = timedelta(0)) -> int:
    """Write one event, as the ledger does."""
    row = {"event": "deadline:stamped", "at": present(engine) - ago, "actor": "clock"}
    made: Any = connection.execute(insert(events).values(row)).inserted_primary_key
    return int(made[0])


def test_an_event_whose_transaction_commits_after_a_later_one_is_not_missed(engine: Engine, follower: Follower) -> None:
    if follower.database == "sqlite":
        _ids_are_given_in_the_order_of_commits(engine, follower)
        return
    with engine.connect() as late, engine.connect() as early:
        first, second = happen(engine, late), happen(engine, early)
        assert first < second
        early.commit()
        follower.follow()
        assert follower.handled == [second]
        late.commit()
    follower.follow()
    follower.follow()
    # Whoever asked for ids above the highest seen would have been told of nothing.
    assert follower.handled == [second, first]


def _ids_are_given_in_the_order_of_commits(engine: Engine, follower: Follower) -> None:
    execute(follower.connection, "PRAGMA busy_timeout = 0")
    with writing(engine) as connection:
        happen(engine, connection)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            execute(follower.connection, "INSERT INTO clock_events (event, at, actor) VALUES ('too:early', 'now', 'nobody')")


def test_each_event_is_handled_once_by_two_that_follow(engine: Engine, follower: Follower, database_url: str) -> None:
    other = Follower(database_url)
    with writing(engine) as connection:
        made = [happen(engine, connection) for _ in range(5)]
    news = other.look()
    follower.follow()
    for event_id in news:  # read before the other one handled them
        other.handle(event_id)
    other.connection.close()

    assert follower.handled == news == made
    assert other.handled == []


def test_a_crash_before_the_commit_has_the_event_handled_again(engine: Engine, follower: Follower) -> None:
    with writing(engine) as connection:
        made = happen(engine, connection)
    for statement in ("BEGIN", NOTE.replace("(1)", f"({made})"), "ROLLBACK"):
        execute(follower.connection, statement)
    follower.follow()

    assert follower.handled == [made]


def test_the_books_are_closed_over_what_is_an_hour_old_and_handled(engine: Engine, follower: Follower) -> None:
    hour = timedelta(hours=1)
    with writing(engine) as connection:
        old = [happen(engine, connection, ago=hour + timedelta(minutes=1)) for _ in range(3)]
        fresh = happen(engine, connection, ago=hour - timedelta(minutes=1))
    follower.handle(old[0])
    follower.handle(old[2])
    follower.close_the_books()
    assert follower.kept() == (old[0], 1)  # the one between is not handled yet

    follower.follow()
    assert follower.kept() == (old[2], 1)
    assert sorted(follower.handled) == [*old, fresh]
    assert follower.look() == []

    with writing(engine) as connection:
        connection.execute(update(events).where(events.c.id == fresh).values(at=present(engine) - hour - timedelta(minutes=1)))
    follower.follow()
    assert follower.kept() == (fresh, 0)
