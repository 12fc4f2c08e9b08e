"""What ``up`` tells: every event once, also when the database goes away between two questions of one look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, insert

from returnclock.database import reading, writing
from returnclock.errors import DatabaseUnreachable
from returnclock.kinds import KINDS
from returnclock.tables.clock import events
from returnclock.up import feed
from tests.database.market import MONDAY, Market


def write(market: Market, name: str) -> None:
    with writing(market.engine) as connection:
        connection.execute(insert(events).values(event=name, at=MONDAY, actor="test"))


def told(followed: feed.Feed) -> list[str]:
    return [each.event for each in followed.news()]


def test_what_could_not_be_told_is_told_by_the_next_look_and_once(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def away(_engine: Engine) -> Iterator[Connection]:
        raise DatabaseUnreachable(url="the shop", reason="it went away")
        yield

    followed = feed.Feed(market.engine, KINDS)
    write(market, "test:one")
    monkeypatch.setattr(feed, "reading", away)
    with pytest.raises(DatabaseUnreachable):
        followed.news()
    monkeypatch.setattr(feed, "reading", reading)
    write(market, "test:two")

    assert told(followed) == ["test:one", "test:two"]
    assert told(followed) == []
