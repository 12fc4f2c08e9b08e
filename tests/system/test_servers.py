"""The servers of the tests keep their own promises: they answer, they stop, and they leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pymysql
import pytest
import redis
from sqlalchemy import create_engine, inspect, text

from tests.servers import (
    MariaDBServer,
    MissingProgram,
    PgBouncer,
    PostgresServer,
    RabbitMQServer,
    RedisSentinel,
    RedisServer,
    ServerFailed,
    TCPProxy,
    TLSRedisServer,
    process,
    programs,
)
from tests.servers.process import HOST, ServerProcess, wait_until

SERVERS = [PostgresServer, MariaDBServer, RedisServer]


def processes_naming(folder: Path) -> list[str]:
    """The command lines of the processes that have the folder among their words or as their working folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = os.readlink(entry / "cwd")
        except OSError:
            continue  # it ended while we looked, or is a kernel thread
        if str(folder) in words or place.startswith(str(folder)):
            found.append(words)
    return found


def port_is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.mark.parametrize("kind", [*SERVERS, TLSRedisServer, RabbitMQServer])
def test_a_server_answers_and_leaves_no_process_port_or_folder(kind: type[ServerProcess]) -> None:
    with kind() as server:
        assert server.answers()
        assert processes_naming(server.folder)
        assert port_is_open(server.port)
    assert not processes_naming(server.folder)
    assert not port_is_open(server.port)
    assert not server.folder.exists()


def test_a_pooler_and_a_sentinel_leave_nothing_either(postgres: PostgresServer, redis_server: RedisServer) -> None:
    for kind in (PgBouncer(postgres), RedisSentinel(redis_server)):
        with kind as server:
            assert server.answers()
        assert not processes_naming(server.folder)
        assert not server.folder.exists()


def test_a_silent_proxy_refuses_nothing_and_answers_nothing(redis_server: RedisServer) -> None:
    with TCPProxy(redis_server.port) as proxy:
        url = f"redis://{HOST}:{proxy.port}"
        with redis.Redis.from_url(url, socket_timeout=0.5) as before, redis.Redis.from_url(url, socket_timeout=0.5) as later:
            assert before.ping()
            proxy.blackhole()
            for client in (before, later):
                with pytest.raises(redis.exceptions.TimeoutError):
                    client.execute_command("PING")
            proxy.forward()
            assert later.ping()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_killed_server_comes_back_under_its_port(kind: type[ServerProcess]) -> None:
    with kind() as server:
        port = server.port
        server.kill()
        assert not server.running
        wait_until(lambda: not port_is_open(port), 10)
        # Children of a killed PostgreSQL notice it themselves, and a new one starts only after them.
        wait_until(lambda: not processes_naming(server.folder), 10)
        server.start()
        assert server.port == port
        assert server.answers()


def test_a_server_that_cannot_start_says_why_and_leaves_nothing() -> None:
    server = RedisServer({"no-such-setting": "1"})
    with pytest.raises(ServerFailed, match="no-such-setting"):
        server.__enter__()
    assert not server.running
    assert not server.folder.exists()


def test_a_taken_port_is_given_up_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer() as first:
        offered = iter([first.port, first.port, process.free_port()])
        monkeypatch.setattr(process, "free_port", lambda: next(offered))
        with RedisServer() as second:
            assert second.port != first.port
            assert second.answers()
            assert first.answers()


def test_servers_end_when_the_tests_are_killed() -> None:
    program = textwrap.dedent("""
        import time
        from tests.servers import RedisServer
        with RedisServer() as server:
            print(server.folder, flush=True)
            time.sleep(60)
    """)
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        folder = Path(tests.stdout.readline().strip())
        assert processes_naming(folder)
        tests.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_naming(folder), 10)
    (folder / "server.log").unlink()
    folder.rmdir()


def test_a_database_is_fresh_and_empty(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert not inspect(connection).get_table_names()
        connection.execute(text("CREATE TABLE orders (id BIGINT)"))
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["orders"]
    engine.dispose()


def test_postgres_drops_a_database_that_is_still_used(postgres: PostgresServer) -> None:
    url = postgres.create_database()
    database = url.rpartition("/")[2]
    with psycopg.connect(postgres.psql_url(database)) as held:
        postgres.drop_database(url)
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(postgres.psql_url(database))


def test_mariadb_drops_a_database_that_is_still_used(mariadb: MariaDBServer) -> None:
    url = mariadb.create_database()
    database = url.rpartition("/")[2].partition("?")[0]
    held = pymysql.connect(host=HOST, port=mariadb.port, user="root", database=database)
    held.cursor().execute("CREATE TABLE orders (id BIGINT)")
    held.begin()
    held.cursor().execute("SELECT * FROM orders")
    mariadb.drop_database(url)
    with pytest.raises(pymysql.err.OperationalError):
        held.cursor().execute("SELECT 1")
    with pytest.raises(pymysql.err.OperationalError, match="Unknown database"):
        pymysql.connect(host=HOST, port=mariadb.port, user="root", database=database)


def test_postgres_keeps_what_was_committed_over_a_restart() -> None:
    with PostgresServer({"timezone": "Asia/Kolkata"}) as server:
        with psycopg.connect(server.psql_url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (id int)")
        server.restart()
        with psycopg.connect(server.psql_url()) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
            assert connection.execute("SHOW timezone").fetchone() == ("Asia/Kolkata",)


def test_a_restarted_redis_is_empty(redis_server: RedisServer) -> None:
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        client.set("tick", "1")
        server.restart()
        assert client.get("tick") is None
    with redis.Redis.from_url(redis_server.numbered_url(3)) as client:
        assert client.ping()


def test_a_missing_program_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_program", lambda name: None)
    with pytest.raises(MissingProgram, match="apt-get install --no-install-recommends redis-server"):
        RedisServer().__enter__()


def test_the_installer_asks_for_what_is_missing_and_starts_no_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy, log = tmp_path / "policy-rc.d", tmp_path / "log"
    apt_get = tmp_path / "apt-get"
    apt_get.write_text(f'#!/bin/sh\necho "$*" >> {log}\n{policy}; echo "starting: $?" >> {log}\n')
    apt_get.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "POLICY", policy)
    monkeypatch.setattr(programs, "missing_packages", lambda: ["postgres", "sqlite3"])
    programs.install()
    assert log.read_text().splitlines() == [
        "-q -o DPkg::Lock::Timeout=300 update",
        "starting: 101",
        "-q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends postgresql sqlite3",
        "starting: 101",
    ]
    assert not policy.exists()


def test_an_installation_that_fails_says_what_apt_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("of the host")
    apt_get = tmp_path / "apt-get"
    apt_get.write_text("#!/bin/sh\necho Unable to locate package; exit 100\n")
    apt_get.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "POLICY", policy)
    monkeypatch.setattr(programs, "missing_packages", lambda: ["redis-server"])
    with pytest.raises(SystemExit, match="Unable to locate package"):
        programs.install()
    assert policy.read_text() == "of the host"
