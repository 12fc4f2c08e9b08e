"""A shop whose keys are UUIDs, in whatever type and spelling its database keeps them: no row of it is lost for its spelling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from returnclock import schema
from returnclock.database import reading
from returnclock.engines import open_engine
from returnclock.errors import NotFound
from returnclock.explain import Explanation, explain
from returnclock.mapping.attaching import execute, plan
from returnclock.mapping.watching import watches
from tests.database.desk import Operator
from tests.database.market import DAY, HOUR, MONDAY, Market

ONE = UUID("6f1c2d3e-4b5a-6978-8796-a5b4c3d2e1f0")
SPELLINGS = {"dashed": str(ONE), "hex": ONE.hex, "upper": str(ONE).upper(), "upper hex": ONE.hex.upper()}
ONE_TIME = {"sqlite": "TEXT", "postgresql": "timestamptz", "mariadb": "datetime(6)"}
MAPPING = """
[market.orders]
table    = "basket"
key      = "ref"
key_type = "uuid"
columns  = { delivered_at = "arrived" }

[market.disputes]
table    = "quarrel"
key      = "ref"
key_type = "uuid"
writes   = ["status"]
columns  = { order_id = "basket", opened_at = "raised", status = "state" }
"""


class Shop(Market):
    """One order, and a dispute about it, under one UUID."""

    collation = ""
    takes_any = True

    def configure(self, toml: str) -> None:
        collated = 'key_type = "uuid"\n' + (f'key_collation = "{self.collation}"\n' if self.collation else "")
        super().configure(toml + MAPPING.replace('key_type = "uuid"\n', collated))

    def lay_out(self, uuid: str) -> None:
        self.takes_any = uuid != "uuid"
        self.configure("")
        instant = ONE_TIME[self.dialect]
        self.sql(f"CREATE TABLE basket (ref {uuid} PRIMARY KEY, arrived {instant})")
        self.sql(f"CREATE TABLE quarrel (ref {uuid} PRIMARY KEY, basket {uuid}, raised {instant}, state VARCHAR(20))")

    def empty(self) -> None:
        self.clock.at = MONDAY
        execute(self.engine, plan(self.engine, (), remove=True)[0])
        with self.transaction() as connection:
            own = ("holds", "outbox", "events", "deadlines", "changes", "archive")
            for table in ("basket", "quarrel", *(f"clock_{name}" for name in own)):
                connection.execute(text(f"DELETE FROM {table}"))

    def trade(self, ref: str) -> str:
        """Returns how the database spells the key that it was given."""
        with self.transaction() as connection:
            self.insert_with(connection, "basket", {"ref": ref, "arrived": MONDAY})
            quarrel = {"ref": ref, "basket": ref, "raised": MONDAY, "state": "awaiting_seller"}
            self.insert_with(connection, "quarrel", quarrel)
            return str(connection.execute(text("SELECT ref FROM quarrel")).scalar_one())

    def explain(self, ref: str) -> Explanation:
        with reading(self.engine) as connection:
            return explain(connection, self.wiring.rulebook, self.wiring.settings.mail, "disputes", ref, self.clock.at)


OF_ITS_OWN = "utf8mb4_unicode_ci"
KEPT_AS = {
    "sqlite": "TEXT",
    "postgres": "uuid",
    "mariadb": f"VARCHAR(36) COLLATE {OF_ITS_OWN}",
    "mariadb key_collation": f"VARCHAR(36) COLLATE {OF_ITS_OWN}",
    "mariadb uuid": "uuid",
}


@pytest.fixture(scope="module", params=KEPT_AS)
def laid_out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    server, folder = request.param.split()[0], tmp_path_factory.mktemp("shop")
    sqlite = f"sqlite:///{folder / 'market.db'}"
    engine = open_engine(sqlite if server == "sqlite" else request.getfixturevalue(server).create_database())
    schema.upgrade(engine, mapped=True)
    shop = Shop(engine, Path(folder))
    shop.collation = OF_ITS_OWN if request.param.endswith("key_collation") else ""
    shop.lay_out(KEPT_AS[request.param])
    yield shop
    engine.dispose()


@pytest.fixture
def shop(laid_out: Shop) -> Shop:
    laid_out.empty()
    return laid_out


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_row_is_never_lost_for_the_spelling_of_its_uuid(shop: Shop, spelling: str) -> None:
    ref = shop.trade(SPELLINGS[spelling])
    shop.run("reconcile", at=MONDAY + HOUR)

    assert shop.states("seller_response", ref) == ["running"]
    assert shop.run("escalate-disputes", at=MONDAY + 5 * DAY)["changed"] == 1
    with shop.transaction() as connection:
        assert connection.execute(text("SELECT state FROM quarrel")).scalar_one() == "escalated"
    assert Operator(shop).undo("disputes", SPELLINGS["dashed"])["undone"] == 1
    with shop.transaction() as connection:
        assert connection.execute(text("SELECT state FROM quarrel")).scalar_one() == "awaiting_seller"
    assert shop.open_problems() == {}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_change_that_a_trigger_notes_is_never_lost_for_the_spelling_of_its_uuid(shop: Shop, spelling: str) -> None:
    execute(shop.engine, plan(shop.engine, watches(shop.wiring.settings.market))[0])
    ref = shop.trade(SPELLINGS[spelling])
    shop.run("stamp", at=MONDAY + HOUR)
    assert shop.states("seller_response", ref) == ["running"]

    shop.sql("UPDATE quarrel SET state = 'accepted'")
    shop.run("stamp")
    assert shop.states("seller_response", ref) == ["met"]
    shop.sql("DELETE FROM quarrel")
    shop.run("stamp")
    assert shop.states("return_window", ref) == ["running"]


@pytest.mark.parametrize("typed", SPELLINGS.values())
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_operator_finds_a_row_by_any_spelling_of_its_uuid(shop: Shop, spelling: str, typed: str) -> None:
    ref = shop.trade(SPELLINGS[spelling])
    shop.run("reconcile", at=MONDAY + HOUR)
    operator = Operator(shop)

    told = shop.explain(typed)
    assert (told.id, [story.deadline["state"] for story in told.stories]) == (ref, ["running"])
    assert operator.extend("disputes", typed, add="2 days")["extended"] == 1
    assert operator.hold("disputes", typed)["held"] == 1
    assert operator.resume("disputes", typed)["resumed"] == 1
    assert operator.fire("disputes", typed)["fired"] == 1
    shop.sql("DELETE FROM quarrel")
    assert (shop.explain(typed).exists, len(shop.explain(typed).stories)) == (False, 1)


@pytest.mark.parametrize("typed", [str(UUID(int=7)), "nonsense", "{}", ""])
def test_an_operator_is_told_that_there_is_no_such_row(shop: Shop, typed: str) -> None:
    shop.trade(str(ONE))
    shop.run("reconcile", at=MONDAY + HOUR)

    with pytest.raises(NotFound):
        shop.explain(typed)
    with pytest.raises(NotFound):
        Operator(shop).hold("disputes", typed)


def test_a_key_that_is_no_uuid_is_one_all_the_same_where_the_database_takes_it(shop: Shop) -> None:
    if not shop.takes_any:
        return
    shop.trade("basket-7")
    shop.run("reconcile", at=MONDAY + HOUR)
    assert shop.states("seller_response", "basket-7") == ["running"]
