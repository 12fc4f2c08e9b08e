"""A server that takes no writes, as after a failover: it is left for another connection, and told of when it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from returnclock import schema
from returnclock.cli.report import gather, judge, told
from returnclock.database import reading, retried, writing
from returnclock.engines import open_engine
from returnclock.errors import DatabaseReadsOnly
from tests.servers import MariaDBServer, PostgresServer
from tests.system.crowded_market import OWN_ID, wired


def session(connection: Connection) -> int:
    return int(connection.execute(text(OWN_ID[connection.dialect.name])).scalar_one())


@pytest.fixture(params=["postgresql", "mariadb"])
def failing_over(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[[bool], None]]]:
    """A market's address with an ordinary account, and a switch of its server: whether new sessions may write."""
    mariadb = request.param == "mariadb"
    with MariaDBServer() if mariadb else PostgresServer() as server:
        url = make_url(server.create_database())
        administrator = create_engine(server.url(), poolclass=NullPool, isolation_level="AUTOCOMMIT")

        def say(*statements: str) -> None:
            with administrator.connect() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)

        def switch(to_writing: bool) -> None:
            if mariadb:
                say(f"SET GLOBAL read_only = {int(not to_writing)}")
            else:
                say(f"ALTER DATABASE {url.database} SET default_transaction_read_only = {'off' if to_writing else 'on'}")

        if mariadb:
            say("CREATE USER app", f"GRANT ALL ON {url.database}.* TO app")
            url = url.set(username="app")
        schema.upgrade(opened := open_engine(url.render_as_string()))
        opened.dispose()
        yield url.render_as_string(), switch


def test_a_batch_that_may_only_read_is_done_again_over_a_new_connection(
    failing_over: tuple[str, Callable[[bool], None]],
) -> None:
    url, switch = failing_over
    switch(False)
    engine = open_engine(url)
    with reading(engine) as one, reading(engine) as other:
        idle = {session(one), session(other)}
    sessions = []

    def batch() -> None:
        with writing(engine) as connection:
            sessions.append(session(connection))
            connection.execute(text("SELECT 1"))
            if len(sessions) == 2:
                switch(True)  # a session of PostgreSQL that began as one that only reads stays so
            connection.execute(text("INSERT INTO sellers (id) VALUES (1)"))

    retried(batch)
    assert len(set(sessions)) == len(sessions) in (2, 3)
    with reading(engine) as one, reading(engine) as other:
        assert not idle & {session(one), session(other)}
        assert one.execute(text("SELECT count(*) FROM sellers")).scalar_one() == 1
    engine.dispose()


def test_a_server_that_goes_on_only_reading_is_told_with_what_to_do(
    failing_over: tuple[str, Callable[[bool], None]], tmp_path: Path
) -> None:
    url, switch = failing_over
    switch(False)
    engine = open_engine(url)

    def batch() -> None:
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO sellers (id) VALUES (1)"))

    begun = time.monotonic()
    with pytest.raises(DatabaseReadsOnly, match=r"Deadlines are kept(.|\n)*DATABASE_URL") as caught:
        retried(batch)
    assert time.monotonic() - begun < 3, "whoever waits behind it in the worker's queue waits too long"
    assert "[SQL" not in str(caught.value)
    engine.dispose()
    for to_writing in (False, True):
        switch(to_writing)
        wiring = wired(url, tmp_path)
        report = gather(wiring)
        assert ("takes no writes" in judge(report, wiring)[1]) is not to_writing
        assert ("takes no writes" in "\n".join(told(report))) is not to_writing
        wiring.engine.dispose()
