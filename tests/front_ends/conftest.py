"""Worker and beat that run while front ends of every kind write; one deployment for each database, for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.front_ends.tutorials import DATABASE
from tests.servers import MariaDBServer, PostgresServer, RedisServer
from tests.system.deployment import Deployment


@pytest.fixture(scope="module")
def deployments(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, mariadb: MariaDBServer, redis_server: RedisServer
) -> Iterator[dict[str, Deployment]]:
    """PostgreSQL with Redis, MariaDB with the ticks in files, and the embedded default; started and stopped side by side."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("postgresql", "mariadb", "sqlite")}
    urls = {
        "postgresql": postgres.create_database(DATABASE),
        "mariadb": mariadb.create_database(),
        "sqlite": f"sqlite:///{folders['sqlite'] / 'market.db'}",
    }
    environ = {"postgresql": {"REDIS_URL": redis_server.numbered_url(3)}}
    markets = {name: Deployment(folders[name], url, **environ.get(name, {})) for name, url in urls.items()}
    with ThreadPoolExecutor() as threads, ExitStack() as stack:
        running = [market.running() for market in markets.values()]
        list(threads.map(lambda one: one.__enter__(), running))
        stack.callback(lambda: list(threads.map(lambda one: one.__exit__(None, None, None), running)))
        yield markets
    postgres.drop_database(urls["postgresql"])
    mariadb.drop_database(urls["mariadb"])
