"""``market`` is a migrated, empty market in each of the three databases.

Each keeps one migrated database and one engine for the session, and is emptied before each test: fifty times as fast as
migrating anew, and no statement is compiled twice. Tests that change the schema take ``fresh_market``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from returnclock import schema
from returnclock.database import writing
from returnclock.engines import open_engine
from returnclock.round import MOST_IN_HAND
from returnclock.tables.clock import changes
from returnclock.tables.market import metadata
from tests.database.desk import Operator
from tests.database.market import DAY, MONDAY, Market
from tests.servers import MariaDBServer, PostgresServer

DATABASES = ["sqlite", "postgresql", "mariadb"]


def migrated(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    schema.upgrade(engine)
    yield engine
    engine.dispose()


def emptied(engine: Engine) -> Engine:
    with writing(engine) as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not changes:
                connection.execute(delete(table))
        connection.execute(delete(changes))  # last: the triggers noted all that went
    return engine


@pytest.fixture(scope="session")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield from migrated(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'market.db'}")


@pytest.fixture(scope="session")
def postgres_engine(postgres: PostgresServer) -> Iterator[Engine]:
    yield from migrated(postgres.create_database())


@pytest.fixture(scope="session")
def mariadb_engine(mariadb: MariaDBServer) -> Iterator[Engine]:
    yield from migrated(mariadb.create_database())


@pytest.fixture
def sqlite_market(sqlite_engine: Engine, tmp_path: Path) -> Market:
    return Market(emptied(sqlite_engine), tmp_path)


@pytest.fixture
def postgres_market(postgres_engine: Engine, tmp_path: Path) -> Market:
    return Market(emptied(postgres_engine), tmp_path)


@pytest.fixture
def mariadb_market(mariadb_engine: Engine, tmp_path: Path) -> Market:
    return Market(emptied(mariadb_engine), tmp_path)


@pytest.fixture(params=DATABASES)
def market(request: pytest.FixtureRequest) -> Market:
    """An empty market; the test runs once with each of the three databases."""
    name = {"sqlite": "sqlite_market", "postgresql": "postgres_market", "mariadb": "mariadb_market"}[request.param]
    opened = request.getfixturevalue(name)
    assert isinstance(opened, Market)
    return opened


@pytest.fixture(params=["postgres_market", "mariadb_market"])
def server_market(request: pytest.FixtureRequest) -> Market:
    """An empty market, for tests of two who write at once: SQLite has one writer, for whom all others wait."""
    opened = request.getfixturevalue(request.param)
    assert isinstance(opened, Market)
    return opened


@pytest.fixture
def fresh_market(database_url: str, tmp_path: Path) -> Iterator[Market]:
    """A market whose database no other test uses: its schema may be changed."""
    for engine in migrated(database_url):
        yield Market(engine, tmp_path)


@pytest.fixture
def operator(market: Market) -> Operator:
    return Operator(market)


@pytest.fixture
def dispute(market: Market) -> int:
    """A dispute whose seller has been silent since Monday, stamped."""
    dispute = market.dispute()
    market.run("stamp", at=MONDAY)
    return dispute


@pytest.fixture
def many(market: Market) -> int:
    """So many notices wait: more than may be in hand at once."""
    with market.transaction() as connection:
        for number in range(1, MOST_IN_HAND + 1):
            market.insert_with(connection, "sellers", {"id": number, "email": f"seller{number}@shop.example"})
            market.insert_with(connection, "buyers", {"id": number, "email": f"buyer{number}@home.example"})
            market.insert_with(connection, "orders", {"id": number, "seller_id": number, "buyer_id": number})
            market.insert_with(connection, "disputes", {"id": number, "order_id": number, "opened_at": MONDAY})
    market.run("stamp", at=MONDAY)
    market.run("escalate-disputes", at=MONDAY + 5 * DAY)
    return 2 * MOST_IN_HAND
