"""Front ends in other languages play a whole case, from the order to the refund, against a real worker and beat.

They know docs/front-end.md and their database's own driver, and nothing of ours. Each says what its deadlines became.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
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


def commands(deployments: Mapping[str, Deployment]) -> dict[tuple[str, int], list[str | Path]]:
    """Two front ends for each database, by its name and the first of their ids."""
    url = {name: market.environ["DATABASE_URL"] for name, market in deployments.items()}
    libpq = url["postgresql"].replace("+psycopg", "")
    psql = (program("psql", "postgres"), "-qAtX", "-v", "ON_ERROR_STOP=1", libpq, "-c")
    parts = urlsplit(url["mariadb"])
    host, port, database = str(parts.hostname), str(parts.port), parts.path[1:]
    mariadb = (program("mariadb", "mariadbd"), "--no-defaults", "-h", host, "-P", port, "-u", "root", "-N", "-B", database)
    in_utc = ("--init-command", "SET time_zone = '+00:00'", "-e")
    file = url["sqlite"].removeprefix("sqlite:///")
    sqlite3 = (program("sqlite3", "sqlite3"), "-cmd", ".timeout 5000", file)
    return {
        ("postgresql", FIRST): [program("node", "node"), CASES / "case.js", libpq, str(FIRST)],
        ("postgresql", SECOND): shell(SECOND, "now() - interval '432000 seconds' + interval '2 seconds'", *psql),
        ("mariadb", FIRST): php(f"mysql:host={host};port={port};dbname={database};charset=utf8mb4", "root", FIRST),
        ("mariadb", SECOND): shell(SECOND, "CURRENT_TIMESTAMP - INTERVAL 5 DAY + INTERVAL 2 SECOND", *mariadb, *in_utc),
        ("sqlite", FIRST): php(f"sqlite:{file}", "", FIRST),
        ("sqlite", SECOND): shell(SECOND, "datetime('now', '-5 days', '+2 seconds')", *sqlite3),
    }


@pytest.fixture(scope="module")
def told(deployments: dict[str, Deployment], node_modules: Path) -> dict[tuple[str, int], str]:
    """What each front end said; all play side by side, each in a session of another time zone than UTC."""
    environ = {**os.environ, "TZ": "America/New_York", "PGTZ": "Pacific/Auckland", "NODE_PATH": str(node_modules)}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    started = {
        who: subprocess.Popen(command, env=environ, text=True, **pipes)  # type: ignore[call-overload]
        for who, command in commands(deployments).items()
    }
    return {who: process.communicate(timeout=120)[0] for who, process in started.items()}


@pytest.mark.parametrize(
    ("database", "first"),
    [
        pytest.param("postgresql", FIRST, id="node"),
        pytest.param("postgresql", SECOND, id="psql"),
        pytest.param("mariadb", FIRST, id="php-mariadb"),
        pytest.param("mariadb", SECOND, id="mariadb"),
        pytest.param("sqlite", FIRST, id="php-sqlite"),
        pytest.param("sqlite", SECOND, id="sqlite3"),
    ],
)
def test_a_case_from_the_order_to_the_refund(
    deployments: dict[str, Deployment], told: dict[tuple[str, int], str], database: str, first: int
) -> None:
    assert told[database, first] == TOLD
    assert_ledger_agrees(deployments[database], first)


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
