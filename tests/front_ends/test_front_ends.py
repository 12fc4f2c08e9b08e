"""Front ends in other languages play a whole case, from the order to the refund, against a real worker and beat.

They know docs/front-end.md and their database's own driver, and nothing of ours. Each says what its deadlines became. Beside
them the tutorials are followed to the letter.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from returnclock.database import reading
from returnclock.tables.clock import events, problems
from tests.front_ends.tutorials import TUTORIALS, environment, follow
from tests.servers import PostgresServer
from tests.servers.programs import program
from tests.system.deployment import Deployment

PG = "pg@8.16.3"
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


def fetch_pg(folder: Path) -> Path:
    """Have npm fetch pg; without a lock file, which would name the place that it was fetched from."""
    quiet = ["--no-package-lock", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run([program("npm", "npm"), "install", "--prefix", folder, *quiet, PG], check=True, timeout=120)
    return folder / "node_modules"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[dict[str, Future[Any]]]:
    """The tutorials, and the fetching of pg, side by side; they install what they need before there is a worker."""
    for name in ("node", "npm", "ruby", "php"):
        program(name, name)
    environ = environment(postgres.url())
    with ThreadPoolExecutor() as threads:
        folders = {name: tmp_path_factory.mktemp(name) for name in (*TUTORIALS, "npm")}
        going = {name: threads.submit(follow, name, folders[name], environ) for name in TUTORIALS}
        going["npm"] = threads.submit(fetch_pg, folders["npm"])
        yield going


@pytest.fixture(scope="module")
def told(followed: dict[str, Future[Any]], deployments: dict[str, Deployment]) -> dict[tuple[str, int], str]:
    """What each front end said; all play side by side, each in a session of another time zone than UTC."""
    modules = followed["npm"].result()
    environ = {**os.environ, "TZ": "America/New_York", "PGTZ": "Pacific/Auckland", "NODE_PATH": str(modules)}
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
        pytest.param("sqlite", FIRST, id="php-embedded"),
        pytest.param("sqlite", SECOND, id="shell-embedded"),
    ],
)
def test_a_case_from_the_order_to_the_refund(
    deployments: dict[str, Deployment], told: dict[tuple[str, int], str], database: str, first: int
) -> None:
    assert told[database, first] == TOLD
    assert_ledger_agrees(deployments[database], first)


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_leads_to_a_date_that_is_explained(
    told: dict[tuple[str, int], str], followed: dict[str, Future[Any]], name: str
) -> None:
    said = followed[name].result()

    assert "5 days, until " in said
    assert "The day of the event is not counted" in said
    assert said.endswith("answered\n")


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
        ours = problems.c.subject_id.in_([str(row_id) for row_id in range(first, first + 5)])
        assert connection.execute(select(problems.c.problem).where(ours)).all() == []
