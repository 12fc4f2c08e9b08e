"""Worker and beat that run while front ends of every kind write; one deployment for each database, for all tests of a file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import MariaDBServer, PostgresServer, RedisServer
from tests.servers.programs import program
from tests.system.deployment import Deployment

PG = "pg@8.16.3"


@pytest.fixture(scope="module")
def on_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[Deployment]:
    """PostgreSQL and Redis."""
    url = postgres.create_database()
    market = Deployment(tmp_path_factory.mktemp("postgres"), url, REDIS_URL=redis_server.numbered_url(3))
    with market.running():
        yield market
    postgres.drop_database(url)


@pytest.fixture(scope="module")
def on_mariadb(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDBServer) -> Iterator[Deployment]:
    """MariaDB, and the ticks in files."""
    url = mariadb.create_database()
    market = Deployment(tmp_path_factory.mktemp("mariadb"), url)
    with market.running():
        yield market
    mariadb.drop_database(url)


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The embedded default."""
    folder = tmp_path_factory.mktemp("sqlite")
    market = Deployment(folder, f"sqlite:///{folder / 'market.db'}")
    with market.running():
        yield market


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with pg, fetched by npm; no lock file, which would name the place that it was fetched from."""
    folder = tmp_path_factory.mktemp("npm")
    quiet = ["--no-package-lock", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run([program("npm", "npm"), "install", "--prefix", folder, *quiet, PG], check=True, timeout=120)
    return folder / "node_modules"
