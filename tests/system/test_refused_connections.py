"""A database that cannot be opened: it is told what is wrong, whether that mends itself, what to do, and no password."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from returnclock.database import reading, writing
from returnclock.engines import open_engine
from returnclock.errors import (
    BadDatabaseAddress,
    ConnectionsExhausted,
    DatabaseNotOpened,
    DatabaseUnreachable,
    ReturnclockError,
)
from tests.servers import MariaDBServer, PostgresServer
from tests.servers.process import HOST, free_port


def refused(url: str) -> BaseException:
    with pytest.raises(ReturnclockError) as caught:
        engine = open_engine(url)
        with writing(engine):
            pass
    return caught.value


@pytest.mark.parametrize(
    ("server", "account", "database", "said"),
    [
        ("postgres", "nobody_here", "postgres", 'role "nobody_here" does not exist. This does not mend itself'),
        ("postgres", "postgres", "nowhere", 'database "nowhere" does not exist. This does not mend itself'),
        ("postgres", "postgres", "postgres?sslmode=require", "SSL was required. This does not mend itself"),
        ("mariadb", "root:Hunter2", "mysql", ": Access denied for user"),
        ("mariadb", "root", "nowhere", ": Unknown database 'nowhere'. This does not mend itself"),
    ],
)
def test_an_account_or_a_database_that_is_wrong_is_told_with_what_to_correct(
    request: pytest.FixtureRequest, server: str, account: str, database: str, said: str
) -> None:
    scheme, _, place = request.getfixturevalue(server).url(database).partition("://")
    told = refused(f"{scheme}://{account}@{place.partition('@')[2]}")
    assert isinstance(told, DatabaseNotOpened)
    assert said in str(told)
    assert "correct DATABASE_URL" in str(told)
    assert "when it is back" not in str(told)
    assert "Hunter2" not in str(told)


@pytest.mark.parametrize("content", [None, b"a letter, and no database at all\n" * 100])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "folder" / "market.db"
    if content:
        path.parent.mkdir()
        path.write_bytes(content)
    told = refused(f"sqlite:///{path}")
    assert isinstance(told, DatabaseNotOpened)
    assert f"The database sqlite:///{path} cannot be opened: " in str(told)
    assert "must name a file of SQLite" in str(told)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql+psycopg://postgres@{}/m?pgbouncer=true", 'invalid connection option "pgbouncer"'),
        ("postgresql+psycopg://postgres@{}/m?sslmode=bogus", 'invalid sslmode value: "bogus"'),
        ("postgresql+psycopg://postgres@{}/m?connect_timeout=soon", "bad value for connect_timeout: 'soon'"),
        ("postgresql+psycopg://postgres@{}/m?keepalives=soon", 'invalid integer value "soon"'),
        ("mariadb+pymysql://root@{}/m?nonsense=1", "there is no option 'nonsense'"),
        ("mariadb+pymysql://root@{}/m?client_flag=many", "'many'"),
    ],
)
def test_an_option_of_the_address_that_the_driver_does_not_know_is_a_fault_of_the_settings(address: str, said: str) -> None:
    told = refused(address.format(f"{HOST}:{free_port()}"))
    assert isinstance(told, BadDatabaseAddress)
    assert told.exit_code == 2
    assert said in str(told)
    assert 'after its "?" in DATABASE_URL' in str(told)


@pytest.mark.parametrize("kind", [PostgresServer, MariaDBServer])
def test_a_server_without_a_connection_left_is_told_with_the_limits(kind: type[PostgresServer] | type[MariaDBServer]) -> None:
    with kind({"max_connections": "10"}) as server, ExitStack() as others:
        url = server.create_database()
        crowd = create_engine(url, poolclass=NullPool)
        with suppress(DBAPIError):
            while True:
                others.enter_context(crowd.connect())
        told = refused(url)
        assert isinstance(told, ConnectionsExhausted)
        assert all(name in str(told) for name in ("max_connections", "pool_size", "--concurrency"))
        assert ", '" not in str(told)


@pytest.mark.parametrize(
    "words",
    [
        "postgresql+psycopg://app:Hunter2@{}/m?sslpassword=Hunter2",
        "postgresql+psycopg://{}/m?user=app&password=Hunter2",
        "mariadb+pymysql://{}/m?user=app&password=Hunter2",
        "mariadb+pymysql://{}/m?user=app&passwd=Hunter2;Hunter2",
    ],
)
def test_no_password_is_told_of_a_server_that_cannot_be_reached(words: str) -> None:
    away = open_engine(words.format(f"{HOST}:{free_port()}"))
    with pytest.raises(DatabaseUnreachable) as caught, reading(away):
        pass
    assert HOST in str(caught.value)
    assert "app" in str(caught.value)
    assert "Hunter2" not in str(caught.value)
