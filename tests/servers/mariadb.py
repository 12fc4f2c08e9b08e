"""MariaDB."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.process import HOST, ServerProcess
from tests.servers.programs import program


class MariaDBServer(ServerProcess):
    """``create_database()`` gives the URL of a fresh, empty database."""

    name = "mariadb"
    accounts = ("mysql",)

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """``settings`` are of the server's option file, such as ``{"default-time-zone": "+05:30"}``."""
        super().__init__()
        self.settings = {
            "bind-address": HOST,
            "max-connections": "100",
            "character-set-server": "utf8mb4",
            "innodb-buffer-pool-size": "64M",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-flush-method": "nosync",
            "skip-name-resolve": "ON",
            **(settings or {}),
        }
        self._numbers = itertools.count(1)

    def prepare(self) -> None:
        install = program("mariadb-install-db", "mariadbd")
        # "normal" lets root in over TCP without a password; the default would ask for the socket of that account.
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={self.folder}"]
        self.run([install, "--no-defaults", f"--datadir={self.folder / 'data'}", *options])

    def command(self) -> Sequence[str | Path]:
        places = {
            "datadir": self.folder / "data",
            # One of its own: a server that starts clears the folder of temporary tables, those of another server too.
            "tmpdir": self.folder,
            "socket": self.folder / "s",
            "pid-file": self.folder / "pid",
            "port": self.port,
        }
        options = [f"--{name}={value}" for name, value in {**places, **self.settings}.items()]
        return [program("mariadbd", "mariadbd"), "--no-defaults", *options]

    def answers(self) -> bool:
        return [Path(folder) for folder in self._execute("SELECT @@datadir")] == [self.folder / "data"]

    def url(self, database: str = "mysql") -> str:
        """The URL for SQLAlchemy."""
        return f"mariadb+pymysql://root@{HOST}:{self.port}/{database}?charset=utf8mb4"

    def create_database(self) -> str:
        database = f"market_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE `{database}`")
        return self.url(database)

    def drop_database(self, url: str) -> None:
        """Drop it even where a test left a connection open: a lock that one holds would block the DROP for ever."""
        database = urlsplit(url).path[1:]
        for connection_id in self._execute(f"SELECT id FROM information_schema.processlist WHERE db = '{database}'"):
            self._execute(f"KILL HARD {connection_id}")
        self._execute(f"DROP DATABASE IF EXISTS `{database}`")

    def _execute(self, statement: str) -> list[Any]:
        """The first column of what the statement returns."""
        import pymysql

        with (
            pymysql.connect(host=HOST, port=self.port, user="root", connect_timeout=5, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return [row[0] for row in cursor.fetchall()]
