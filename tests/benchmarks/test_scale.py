"""`make scale` measures what it says: every work is really done, and what it promises is judged.

Counts are tiny and no time is asserted: a test that does fails on a busy machine and says nothing.
"""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tests.benchmarks import scale_report
from tests.benchmarks.scale import SHORT, Places, measure, targets
from tests.servers import PostgresServer, RedisServer

# The redis of the session is shared: Celery's tests have its first databases, the comparison the thirteenth.
REDIS_DATABASE = 13


@pytest.fixture(scope="module")
def found(postgres: PostgresServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made: list[str] = []

    def create() -> str:
        made.append(postgres.create_database())
        return made[-1]

    folder = tmp_path_factory.mktemp("scale").resolve()
    places = Places(create, lambda number: redis_server.numbered_url(REDIS_DATABASE - number), folder)
    measured = measure(places, SHORT, lambda line: None)  # raises if any work was not done
    for url in made:
        postgres.drop_database(url)
    return measured


def test_all_that_falls_due_at_once_fires_in_both_markets(found: dict[str, Any]) -> None:
    drains = found["found"]["drain"]
    assert {name: drain["deadlines"] for name, drain in drains.items()} == {"small": SHORT.beside, "large": SHORT.due}
    for drain in drains.values():
        assert sum(drain["fired_by_second"].values()) == drain["deadlines"]
        assert drain["worker_mb"] > 1 and drain["front_end_ms"]["drain"]["queries"] >= 20


def test_the_churn_purges_what_it_should_and_nothing_else(found: dict[str, Any]) -> None:
    churn = found["found"]["churn"]
    # A deadline, two events and a notice of each.
    assert (churn["purged"], churn["purged_rows"]) == (SHORT.old, 4 * SHORT.old)


def test_a_promise_that_is_not_kept_is_listed_as_not_met(found: dict[str, Any]) -> None:
    assert [one["target"] for one in found["targets"]] == [
        *("at most 1.3", "below 3", "below 60", "at most 1.1", "at most 3", "at most 3"),
        *("at most 1.15", "at most 60", "at most 3"),
    ]
    worse = json.loads(json.dumps(found["found"]))
    worse["drain"]["large"]["seconds"], worse["lateness_s"]["p99"] = 60.0, 3.1
    worse["idle_ms"]["flag-late-refunds"] = {"small": 1.0, "large": 1.31}
    met = {one["what"].split(",")[0].split(":")[0]: one["met"] for one in targets(worse, SHORT)}
    assert not met[f"{SHORT.due} due at once"] and not met[f"fired late at {SHORT.late_a_second} due a second"]
    assert not next(targets(worse, SHORT))["met"]


def test_what_was_found_is_kept_printed_and_drawn(found: dict[str, Any], tmp_path: Path) -> None:
    as_json, as_svg = scale_report.keep(found, tmp_path)
    assert json.loads(as_json.read_text()) == found
    assert f"{SHORT.due} deadlines due at once" in " ".join(ElementTree.parse(as_svg).getroot().itertext())
    printed = StringIO()
    scale_report.show(found, Console(file=printed, width=300))
    assert all(one["what"] in printed.getvalue() for one in found["targets"])
