"""Fixtures for every test: real servers, started when the first test asks for them, and a fresh database for each test.

A server program that is not installed fails the test and says how to install it. It never skips: a green run means that
everything ran.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.servers import MariaDBServer, MissingProgram, PostgresServer, RedisServer, SMTPSink
from tests.servers.process import ServerProcess

OWN_VARIABLES = ("DATABASE_URL", "REDIS_URL")

Server = TypeVar("Server", bound=ServerProcess)


def pytest_configure() -> None:
    """Let processes that the tests start hear Ctrl-C: whoever runs the tests in the background passes on that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _settings_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's DATABASE_URL may be that of a real market: no test sees it."""
    for name in list(os.environ):
        if name.startswith("RETURNCLOCK_") or name in OWN_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    yield from _started(PostgresServer())


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    yield from _started(MariaDBServer())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Shared by the session: a test that stops it, or needs it empty, starts a ``RedisServer()`` of its own."""
    yield from _started(RedisServer())


@pytest.fixture
def smtp() -> Iterator[SMTPSink]:
    with SMTPSink() as sink:
        yield sink


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'market.db'}"


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def mariadb_url(mariadb: MariaDBServer) -> Iterator[str]:
    url = mariadb.create_database()
    yield url
    mariadb.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty database; the test runs once with each of the three."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param]
    url = request.getfixturevalue(fixture)
    assert isinstance(url, str)
    return url


def _started(context: AbstractContextManager[Server]) -> Iterator[Server]:
    try:
        with context as server:
            yield server
    except MissingProgram as missing:
        pytest.fail(str(missing), pytrace=False)
