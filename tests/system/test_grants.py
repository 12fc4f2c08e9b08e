"""``db grants``: real accounts that have only what it prints do all their work, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from returnclock import schema
from returnclock.cli import cli
from returnclock.clock import FrozenClock
from returnclock.database import reading
from returnclock.engines import open_engine
from returnclock.follow import Follower
from returnclock.ledger import Hand
from returnclock.recount import Case
from returnclock.restamp import Plan, restamp
from returnclock.rights import Site, front_end_rights, own_rights
from returnclock.runs import perform
from returnclock.settings import load
from returnclock.tables.clock import CLOCK_TABLES
from returnclock.wiring import Wiring, wire
from tests.database.market import DAY, MONDAY
from tests.database.postbox import PostBox

PASSWORD = "lamp 4'2"


class Accounts:
    """A migrated market whose owner made two accounts with the rights that the command prints."""

    def __init__(self, url: str, folder: Path) -> None:
        self.owner = open_engine(url)
        schema.upgrade(self.owner)
        self.folder = folder
        database = make_url(url)
        self.names = {who: f"{who}_{database.database}" for who in ("clock", "front")}
        kinds = wire(load({"DATABASE_URL": url, "RETURNCLOCK_DATA": str(folder)}, folder)).kinds
        site = Site("postgresql" if database.get_backend_name() == "postgresql" else "mariadb", str(database.database))
        statements = own_rights(site, self.names["clock"], kinds, schema.VERSION_TABLE)
        statements += front_end_rights(site, self.names["front"])
        password = PASSWORD.replace("'", "''")
        with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
            for name in self.names.values():
                how = "ROLE {} LOGIN PASSWORD" if site.is_postgresql else "USER {} IDENTIFIED BY"
                statements.insert(0, f"CREATE {how.format(site.account(name))} '{password}'")
            for statement in statements:
                connection.exec_driver_sql(statement.replace("%", "%%"))
        self.urls = {who: database.set(username=name, password=PASSWORD) for who, name in self.names.items()}

    def front_end(self) -> Engine:
        return create_engine(self.urls["front"])

    def wiring(self, clock: FrozenClock) -> Wiring:
        url = self.urls["clock"].render_as_string(hide_password=False)
        wiring = wire(load({"DATABASE_URL": url, "RETURNCLOCK_DATA": str(self.folder)}, self.folder))
        return replace(wiring, clock=clock, mailer=PostBox())


@pytest.fixture(scope="module", params=["postgres", "mariadb"])
def accounts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    url = request.getfixturevalue(request.param).create_database()
    made = Accounts(url, tmp_path_factory.mktemp("grants"))
    yield made
    made.owner.dispose()


def fill(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO sellers (id, email) VALUES (1, 'ana@shop.example')",
            "INSERT INTO buyers (id, email) VALUES (1, 'bea@home.example')",
            "INSERT INTO orders (id, buyer_id, seller_id, delivered_at) VALUES (1, 1, 1, '2026-03-02 10:00:00')",
            "INSERT INTO orders (buyer_id, seller_id) VALUES (1, 1)" if engine.dialect.name != "postgresql" else "SELECT 1",
            "INSERT INTO disputes (id, order_id, opened_at) VALUES (1, 1, '2026-03-02 10:00:00')",
            "INSERT INTO refunds (id, order_id, started_at) VALUES (1, 1, '2026-03-02 10:00:00')",
            "DELETE FROM disputes WHERE id = 1",
            "INSERT INTO disputes (id, order_id, opened_at) VALUES (2, 1, '2026-03-02 10:00:00')",
            "UPDATE disputes SET reason = 'broken' WHERE id = 2",
        ):
            connection.execute(text(statement))


def test_with_only_these_rights_every_task_does_its_work(accounts: Accounts) -> None:
    front = accounts.front_end()
    fill(front)
    clock = FrozenClock(MONDAY)
    wiring = accounts.wiring(clock)
    follower = Follower(wiring.engine, 0)
    perform(wiring, "stamp", trigger="beat", actor="beat")
    plan = Plan(wiring.engine, clock, wiring.rulebook, Hand("maria"), "new terms", "fire")
    assert restamp(plan, wiring.kinds).left["seller_response"] == {Case.UNCHANGED: 1}
    changed = 0
    for days in (0, 4, 60, 600):
        clock.at = MONDAY + days * DAY
        for task in wiring.tasks:
            if task != "audit":
                changed += perform(wiring, task, trigger="beat", actor="beat")["changed"]
    with front.connect() as connection:
        assert connection.execute(text("SELECT escalated_by FROM disputes")).scalar_one() == "clock"
        assert connection.execute(text("SELECT late_stage FROM refunds")).scalar_one() is not None
        for table in CLOCK_TABLES:
            connection.execute(text(f"SELECT count(*) FROM {table}"))
    assert changed > 10
    while not follower.caught_up or not follower.last_id:
        follower.news()
    with reading(wiring.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM clock_archive")).scalar_one() > 0
    wiring.engine.dispose()
    front.dispose()


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_with_only_these_rights_missing_triggers_are_told_from_those_that_are_there(
    server: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Accounts(request.getfixturevalue(server).create_database(), tmp_path)
    monkeypatch.setenv("DATABASE_URL", own.urls["clock"].render_as_string(hide_password=False))
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(cli, ["db", "check"])
    assert (told.exit_code, told.output) == (0, f"OK: schema {schema.needed()}, triggers in place\n")
    for table, event in (("orders", "update"), ("buyers", "insert")):
        with own.owner.begin() as connection:
            on = f" ON {table}" if server == "postgres" else ""
            connection.exec_driver_sql(f"DROP TRIGGER clock_{table}_{event}{on}")
        clock = open_engine(own.urls["clock"].render_as_string(hide_password=False))
        assert table in schema.missing_triggers(clock)
        clock.dispose()
    told = CliRunner().invoke(cli, ["db", "check"])
    assert (told.exit_code, told.output.partition(":")[0]) == (1, "WARNING")
    assert "(buyers, orders)" in told.output
    own.owner.dispose()


FOREIGN = {
    "clock": (
        "UPDATE disputes SET reason = 'x'",
        "UPDATE orders SET delivered_at = NULL",
        "DELETE FROM refunds",
        "INSERT INTO sellers (id) VALUES (9)",
        "UPDATE clock_events SET actor = 'x'",
        "UPDATE clock_policies SET digest = 'x'",
        "CREATE TABLE lamp (id INTEGER)",
    ),
    "front": (
        "UPDATE clock_deadlines SET state = 'void'",
        "DELETE FROM clock_events",
        "INSERT INTO clock_changes (table_name, subject_id) VALUES ('orders', '1')",
    ),
}


@pytest.mark.parametrize("who", list(FOREIGN))
def test_what_is_not_theirs_is_refused_to_them(accounts: Accounts, who: str) -> None:
    engine = create_engine(accounts.urls[who])
    for statement in FOREIGN[who]:
        with engine.connect() as connection, pytest.raises(DBAPIError, match="denied"):
            connection.execute(text(statement))
    engine.dispose()


def test_the_command_prints_them_as_statements(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", accounts.owner.url.render_as_string(hide_password=False))
    monkeypatch.chdir(accounts.folder)
    words = ["db", "grants", "--account", "clock", "--front-end", "shop"]
    told = CliRunner().invoke(cli, words).stdout.replace("`", '"')
    both = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert 'GRANT SELECT, UPDATE ("escalated_at", "escalated_by", "status") ON ' in told
    assert set(both) == {"clock", "shop"}
    assert all(statement in told for statement in "\n".join(both["clock"]).replace("`", '"').splitlines())
