"""Front ends in other languages play a whole case, from the order to the refund, against a real worker and beat.

They know docs/front-end.md and their database's own driver, and nothing of ours. Each says what its deadlines became.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import select

from returnclock.database import reading
from returnclock.tables.clock import events, problems
from tests.servers.programs import program
from tests.system.deployment import Deployment

CASES = Path(__file__).parent / "cases"
FIRST, SECOND = 1000, 2000  # the ids of two front ends that share a database
TOLD = """\
return_window running
seller_response running
return_window met
seller_response met
refund_inspection running
refund_processing running
refund_clearing running
refund_completion met
seller_response fired
escalated
"""
LEDGER = {
    "seller_response": ["deadline:stamped", "deadline:met"],
    "silent": ["deadline:stamped", "dispute:escalated"],
    "return_window": ["deadline:stamped", "deadline:met"],
}


def shell(first: int, almost_due: str, *client: str | Path) -> list[str | Path]:
    return ["sh", CASES / "case.sh", str(first), almost_due, *client]


def php(dsn: str, user: str, first: int) -> list[str | Path]:
    return [program("php", "php"), CASES / "case.php", dsn, user, str(first)]


def play_together(*commands: Sequence[str | Path], **environ: str) -> None:
    """Run front ends side by side; each must tell the same story."""
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, "TZ": "America/New_York", **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    ended = [process.communicate(timeout=120) for process in started]
    assert [said + fault for said, fault in ended] == [TOLD] * len(commands)


def assert_ledger_agrees(market: Deployment, first: int) -> None:
    def of(kind: str, subject: int) -> list[str]:
        chosen = select(events.c.event).where(events.c.kind == kind, events.c.subject_id == str(subject))
        with reading(market.engine) as connection:
            told = connection.execute(chosen.order_by(events.c.id)).scalars()
            return [event for event in told if not event.startswith("notice:")]

    assert of("return_window", first) == LEDGER["return_window"]
    assert of("seller_response", first + 2) == LEDGER["seller_response"]
    assert of("seller_response", first + 3) == LEDGER["silent"]
    assert of("refund_completion", first + 4) == ["deadline:stamped", "deadline:met"]
    with reading(market.engine) as connection:
        assert connection.execute(select(problems.c.problem)).all() == []


def test_node_and_psql(on_postgres: Deployment, node_modules: Path) -> None:
    url = on_postgres.environ["DATABASE_URL"].replace("+psycopg", "")
    psql = (program("psql", "postgres"), "-qAtX", "-v", "ON_ERROR_STOP=1", url, "-c")
    play_together(
        [program("node", "node"), CASES / "case.js", url, str(FIRST)],
        shell(SECOND, "now() - interval '432000 seconds' + interval '2 seconds'", *psql),
        NODE_PATH=str(node_modules),
        PGTZ="Pacific/Auckland",
    )
    for first in (FIRST, SECOND):
        assert_ledger_agrees(on_postgres, first)


def test_php_and_the_shell_on_mariadb(on_mariadb: Deployment) -> None:
    parts = urlsplit(on_mariadb.environ["DATABASE_URL"])
    place, name = (parts.hostname or "", str(parts.port)), parts.path[1:]
    client = (program("mariadb", "mariadbd"), "--no-defaults", "-h", place[0], "-P", place[1], "-u", "root", "-N", "-B")
    play_together(
        php(f"mysql:host={place[0]};port={place[1]};dbname={name};charset=utf8mb4", "root", FIRST),
        shell(
            SECOND,
            "CURRENT_TIMESTAMP - INTERVAL 5 DAY + INTERVAL 2 SECOND",
            *(*client, "--init-command", "SET time_zone = '+00:00'", name, "-e"),
        ),
    )
    for first in (FIRST, SECOND):
        assert_ledger_agrees(on_mariadb, first)


def test_php_and_sqlite3(on_sqlite: Deployment) -> None:
    file = on_sqlite.environ["DATABASE_URL"].removeprefix("sqlite:///")
    sqlite3 = (program("sqlite3", "sqlite3"), "-cmd", ".timeout 5000", file)
    play_together(
        php(f"sqlite:{file}", "", FIRST),
        shell(SECOND, "datetime('now', '-5 days', '+2 seconds')", *sqlite3),
    )
    for first in (FIRST, SECOND):
        assert_ledger_agrees(on_sqlite, first)
