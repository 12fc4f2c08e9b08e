"""The comparison measures what it says it measures: every contender does the whole work, and one that does less is refused.

Counts are tiny and no time is asserted: a test that does fails on a busy machine and says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from sqlalchemy import text

from tests.benchmarks import front_end, report, stamping, sweeping
from tests.benchmarks.bare import BY_JOIN, BY_KEYS, BareSweep
from tests.benchmarks.bare_stamp import BareStamp
from tests.benchmarks.compare import SHORT, Places, compare, sqlite_in, targets
from tests.benchmarks.contest import Standing
from tests.benchmarks.workload import Workload, WrongOutcome
from tests.servers import MariaDBServer, PostgresServer, RedisServer

ROWS = 30
_STAMPED = """
SELECT d.kind, d.subject_id, d.starts_at, d.promised_at, d.due_at, d.remind_at, d.state, d.policy_id, d.schedule,
       e.kind, e.subject_id, e.event, e.actor, e.detail
FROM clock_deadlines d JOIN clock_events e ON e.deadline_id = d.id"""
# The redis of the session is shared: Celery's tests have its first databases.
REDIS_DATABASE = 13


@pytest.fixture
def workload(database_url: str, tmp_path: Path) -> Iterator[Workload]:
    made = Workload(database_url, tmp_path, ROWS)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def found(
    postgres: PostgresServer, mariadb: MariaDBServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("compare")
    made: list[tuple[Any, str]] = []

    def of(server: Any) -> str:
        made.append((server, server.create_database()))
        return made[-1][1]

    broker = redis_server.numbered_url(REDIS_DATABASE)
    places = Places(lambda: of(postgres), lambda: of(mariadb), sqlite_in(folder), broker, folder)
    # Every turn of every contender is checked within: one that leaves anything out raises.
    compared = compare(places, SHORT, lambda line: None)
    for server, url in made:
        server.drop_database(url)
    return compared


def test_every_contender_of_every_work_does_all_its_rows(found: dict[str, Any]) -> None:
    rows = {work: {name: of["rows"] for name, of in contenders.items()} for work, contenders in found["works"].items()}
    for database in ("PostgreSQL", "SQLite", "MariaDB"):
        bare = ("bare SQL", "bare SQL by keys") if database == "PostgreSQL" else ("bare SQL",)
        assert rows[f"sweep, {database}"] == dict.fromkeys(("returnclock", *bare), SHORT.swept)
        two = {"returnclock, two processes": SHORT.stamped} if database != "SQLite" else {}
        assert rows[f"stamp, {database}"] == {"returnclock": SHORT.stamped, "bare SQL": SHORT.stamped, **two}
        for table in ("orders", "disputes"):
            for way, count in (("in bulk", SHORT.inserted_in_bulk), ("one by one", SHORT.inserted_singly)):
                both = dict.fromkeys(("with triggers", "without triggers"), count)
                assert rows[f"front end's {table} {way}, {database}"] == both
    for work in ("deliver", "deliver, to a server that takes commands together", "deliver, to an unhurried server"):
        assert rows[work] == dict.fromkeys(("returnclock", "bare smtplib", "returnclock, one connection"), SHORT.letters)
    ours = ("returnclock, two processes", "returnclock")
    peers = ("Celery ETA on Redis", "Procrastinate", "APScheduler 3", "ORM loop, a commit a row", "ORM loop, one commit")
    assert rows[report.PEERS] == dict.fromkeys((*ours, *peers), SHORT.beside_peers)


def test_each_promised_ratio_is_judged_against_its_target(found: dict[str, Any]) -> None:
    targets = {one["what"]: one["target"] for one in found["targets"]}
    assert [target for what, target in targets.items() if "bare" in what] == ["at least 0.8"] * 9
    assert [target for what, target in targets.items() if what.startswith("stamp")] == ["at least 50,000"] * 5
    assert [target for what, target in targets.items() if "slower" in what] == ["at most 15"] * 12
    assert [target for what, target in targets.items() if "a job for each deadline" in what] == ["at least 40"]


def test_what_was_found_is_kept_as_json_and_as_a_chart_of_every_contender(found: dict[str, Any], tmp_path: Path) -> None:
    as_json, as_svg = report.keep(found, tmp_path)
    assert json.loads(as_json.read_text()) == found
    drawn = " ".join(ElementTree.parse(as_svg).getroot().itertext())
    assert [name for name in found["works"][report.PEERS] if name not in drawn] == []


def test_the_printed_table_names_every_contender_with_its_settings(found: dict[str, Any]) -> None:
    printed = StringIO()
    report.show(found, Console(file=printed, width=400))
    for contenders in found["works"].values():
        for name, of in contenders.items():
            assert name in printed.getvalue()
            assert all(word in printed.getvalue() for word in of["settings"])


def test_bare_sql_writes_what_a_sweep_writes(workload: Workload) -> None:
    contender = sweeping.returnclock(workload, ROWS)
    contender.run()
    ours = _written(workload)
    for way in (BY_JOIN, BY_KEYS) if workload.engine.dialect.name == "postgresql" else (BY_JOIN,):
        bare = BareSweep(workload.url, way)
        sweeping.bare_sql(workload, ROWS, bare).run()
        assert _written(workload) == ours
        bare.close()


def test_a_sweep_is_judged_against_the_faster_bare_sql() -> None:
    seconds = {"returnclock": 1.0, "bare SQL": 2.0, "bare SQL by keys": 0.5}
    standings = {name: Standing(name, 10, (took,), {}) for name, took in seconds.items()}
    (judged,) = targets({"sweep, PostgreSQL": standings})
    assert judged == {
        "what": "sweep, PostgreSQL: times bare SQL by keys", "target": "at least 0.8", "found": 0.5, "met": False,
    }  # fmt: skip


def test_bare_sql_writes_what_a_stamp_writes(workload: Workload) -> None:
    ready = BareStamp(workload)
    written = []
    for contender in (stamping.returnclock(workload, ROWS), stamping.bare_sql(workload, ROWS, ready)):
        contender.run()
        with workload.server() as connection:
            told = connection.execute(text(_STAMPED)).all()
        written.append(sorted(map(str, told)))
    assert written[0] == written[1]
    assert len(written[0]) == ROWS
    ready.close()


def test_a_stamper_that_leaves_an_explanation_out_is_refused(workload: Workload) -> None:
    stamping.returnclock(workload, ROWS).run()
    with workload.server() as connection:
        connection.execute(text("DELETE FROM clock_events WHERE deadline_id = (SELECT min(id) FROM clock_deadlines)"))
    with pytest.raises(WrongOutcome, match="explained"):
        stamping.require_stamped(workload, ROWS)


def test_a_contender_that_leaves_a_row_out_is_refused(workload: Workload) -> None:
    bare = BareSweep(workload.url)

    def careless() -> None:
        bare.run()
        with workload.server() as connection:
            connection.execute(text("DELETE FROM clock_outbox WHERE party = 'buyer' AND deadline_id = 7"))

    with pytest.raises(WrongOutcome, match="notices"):
        sweeping.warmed(workload, "careless", ROWS, careless, {})
    bare.close()


def test_triggers_note_what_the_front_end_inserts_and_only_where_there_are_some(database_url: str, tmp_path: Path) -> None:
    shop = front_end.Shop(database_url, with_triggers=True)
    assert shop.turn("orders", ROWS, 7) > 0
    shop.with_triggers = False  # it expects none, and there are some
    with pytest.raises(WrongOutcome, match=f"{ROWS} changes"):
        shop.turn("orders", ROWS, 7)


def _written(workload: Workload) -> dict[str, list[Any]]:
    """What a sweep leaves, without the moments and the number of its run."""
    chosen = {
        "disputes": "SELECT id, status, escalated_by, escalated_at IS NULL FROM disputes",
        "deadlines": "SELECT id, state, remind_at, fired_at = settled_at FROM clock_deadlines",
        "events": "SELECT deadline_id, kind, subject_id, event, actor, detail FROM clock_events",
        "outbox": "SELECT deadline_id, key_, kind, notice, party, state, attempts FROM clock_outbox",
    }
    quoted = "`key`" if workload.engine.dialect.name in ("mysql", "mariadb") else '"key"'
    with workload.server() as connection:
        found = {name: connection.execute(text(query.replace("key_", quoted))).all() for name, query in chosen.items()}
    return {name: sorted(([_read(value) for value in row] for row in rows), key=str) for name, rows in found.items()}


def _read(value: Any) -> Any:
    """A value as it is meant: the databases and we space a document differently."""
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value
