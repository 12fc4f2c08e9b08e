"""PostgreSQL of the newest version that the machine has."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.process import HOST, ServerProcess
from tests.servers.programs import program


class PostgresServer(ServerProcess):
    """``create_database()`` gives the URL of a fresh, empty database."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait until every client has gone
    accounts = ("postgres",)

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """``settings`` are of postgresql.conf, such as ``{"timezone": "Asia/Kolkata"}``."""
        super().__init__()
        self.settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": "100",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            **(settings or {}),
        }
        self._numbers = itertools.count(1)

    def prepare(self) -> None:
        initdb = program("initdb", "postgres")
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self.run([initdb, "--pgdata", self.folder / "data", *options])

    def command(self) -> Sequence[str | Path]:
        settings = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        return [program("postgres", "postgres"), "-D", self.folder / "data", "-p", str(self.port), *settings]

    def answers(self) -> bool:
        return self._execute("SHOW data_directory") == [str(self.folder / "data")]

    def url(self, database: str = "postgres") -> str:
        """The URL for SQLAlchemy."""
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def psql_url(self, database: str = "postgres") -> str:
        """The URL for psql and every other client of libpq."""
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"

    def create_database(self, name: str = "") -> str:
        database = name or f"market_{next(self._numbers)}"
        self._execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def drop_database(self, url: str) -> None:
        """Drop it even where a test left a connection open."""
        self._execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    def _execute(self, statement: str) -> list[Any]:
        """The first column of what the statement returns."""
        import psycopg

        with psycopg.connect(self.psql_url(), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return [row[0] for row in cursor] if cursor.description else []
