"""PgBouncer in transaction mode: each transaction may get another session of the server, as many hosts have it."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.postgres import PostgresServer
from tests.servers.process import HOST, ServerProcess
from tests.servers.programs import program


class PgBouncer(ServerProcess):
    """Stands before a PostgreSQL; ``url_of`` turns the URL of a database there into the one through here."""

    name = "pgbouncer"
    # It keeps nothing. SIGTERM waits for the clients from version 1.23 on, and before it SIGQUIT is ignored by whatever a shell
    # has started in the background.
    stop_signal = signal.SIGKILL
    accounts = ("postgres",)

    def __init__(self, server: PostgresServer, settings: Mapping[str, str] | None = None) -> None:
        """``settings`` are of pgbouncer.ini, such as ``{"default_pool_size": "1"}``."""
        super().__init__()
        self.server = server
        self.settings = {
            "listen_addr": HOST,
            "unix_socket_dir": "",
            "auth_type": "any",
            "admin_users": "postgres",
            "pool_mode": "transaction",
            # Fewer than the clients: sessions must be shared.
            "default_pool_size": "2",
            **(settings or {}),
        }

    def command(self) -> Sequence[str | Path]:
        self.ini.write_text(self._ini())
        self.ini.chmod(0o644)
        return [program("pgbouncer", "pgbouncer"), self.ini]

    def answers(self) -> bool:
        import psycopg

        url = f"postgresql://postgres@{HOST}:{self.port}/pgbouncer"
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection, psycopg.ClientCursor(connection) as cursor:
            return ("conffile", str(self.ini)) in [row[:2] for row in cursor.execute("SHOW CONFIG")]

    def url_of(self, url: str) -> str:
        """The URL for SQLAlchemy of a database of the server, by way of this pooler."""
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}{urlsplit(url).path}"

    @property
    def ini(self) -> Path:
        return self.folder / "pgbouncer.ini"

    def _ini(self) -> str:
        settings = {"listen_port": str(self.port), **self.settings}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        return "\n".join(["[databases]", f"* = host={HOST} port={self.server.port} user=postgres", "[pgbouncer]", *lines, ""])
