"""docs/front-end.md is true: every statement in it is run, in its order, by a client with no more rights than it grants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import DateTime, Engine, select, update

from returnclock.database import reading, writing
from returnclock.tables.clock import deadlines, problems
from returnclock.tables.market import MARKET_TABLES
from tests.front_ends.documents import Block, blocks, prose
from tests.front_ends.plain_clients import connect, execute
from tests.system.crowded_market import act, open_market, present, wired

DATABASES = {"postgresql", "mariadb", "sqlite"}
SQL = [block for block in blocks("front-end.md") if block.language == "sql"]
Rows = Sequence[tuple[Any, ...]]


class Story:
    """One database in which the document is played: the owner, the front end, and a worker that stamps."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.engine: Engine = open_market(url)
        self.database = self.engine.dialect.name
        self.done = 0
        self.rows: Rows = []

    def play(self) -> Iterator[Block]:
        """Run all blocks of this database: the owner's first, then the front end's; yield after each that was stamped."""
        chosen = [block for block in SQL if not DATABASES & set(block.words) or self.database in block.words]
        self._play_as("", [block for block in chosen if "owner" in block.words])
        restricted = "" if self.database == "sqlite" else "shop_front"
        yield from self._front_end(restricted, [block for block in chosen if "owner" not in block.words])

    def _play_as(self, user: str, chosen: Sequence[Block]) -> None:
        for _ in self._each(user, chosen):
            pass

    def _front_end(self, user: str, chosen: Sequence[Block]) -> Iterator[Block]:
        for block in self._each(user, chosen):
            self._let_time_pass()
            act(wired(self.url, self.folder), "stamp")
            yield block

    def _each(self, user: str, chosen: Sequence[Block]) -> Iterator[Block]:
        connection = connect(self.url, user, "change-me" if user else "")
        try:
            for block in chosen:
                for statement in block.statements:
                    changed, rows = execute(connection, statement)
                    verb = statement.split()[0]
                    idle = verb in ("UPDATE", "INSERT") and not changed
                    assert not idle, f"{statement} changed nothing"
                    self.rows = rows if verb == "SELECT" else self.rows
                yield block
        finally:
            connection.close()

    def _let_time_pass(self) -> None:
        """Set what was just written back, each time by less: one block then lies a minute before the next."""
        self.done += 1
        now = present(self.engine)
        then = now - timedelta(minutes=90 - self.done)
        with writing(self.engine) as connection:
            for table in MARKET_TABLES.values():
                for column in table.columns:
                    if isinstance(getattr(column.type, "impl", None), DateTime):
                        recent = connection.execute(select(table.c.id, column).where(column.is_not(None))).all()
                        ids = [row[0] for row in recent if now - row[1] < timedelta(minutes=5)]
                        connection.execute(update(table).where(table.c.id.in_(ids)).values({column.name: then}))

    def states(self, kind: str, subject: int) -> list[str]:
        chosen = select(deadlines.c.state).where(deadlines.c.kind == kind, deadlines.c.subject_id == str(subject))
        with reading(self.engine) as connection:
            return list(connection.execute(chosen.order_by(deadlines.c.starts_at)).scalars())

    def cell(self, table: str, row_id: int, column: str) -> Any:
        of = MARKET_TABLES[table]
        with reading(self.engine) as connection:
            return connection.execute(select(of.c[column]).where(of.c.id == row_id)).scalar_one()


def has(kind: str, subject: int, *states: str) -> Callable[[Story], bool]:
    return lambda story: story.states(kind, subject) == list(states)


def all_of(*conditions: Callable[[Story], bool]) -> Callable[[Story], bool]:
    return lambda story: all(condition(story) for condition in conditions)


def found(*wanted: Any) -> Callable[[Story], bool]:
    """The last SELECT found something, and these are the first cells of its rows, where any are named."""
    return lambda story: bool(story.rows) and (not wanted or tuple(row[0] for row in story.rows) == wanted)


def stages(**states: str) -> Callable[[Story], bool]:
    return all_of(*(has(f"refund_{stage}", 40, state) for stage, state in states.items()))


# What holds after each block, once it was stamped: the document's headings with SQL of the front end, no more and no fewer.
HOLDS: dict[str, list[Callable[[Story], bool]]] = {
    "Connecting": [lambda _: True],
    "An order comes in": [has("return_window", 17)],
    "It is delivered": [has("return_window", 17, "running")],
    "A dispute is opened": [all_of(has("return_window", 17, "met"), has("seller_response", 81, "running"))],
    "The seller wrote": [
        has("seller_response", 81, "met", "running"),
        has("seller_response", 81, "met", "met"),
    ],
    "The buyer wrote": [has("seller_response", 81, "met", "met", "running")],
    "The seller accepts": [has("seller_response", 81, "met", "met", "met")],
    "The parcel is sent back": [lambda story: story.cell("disputes", 81, "return_shipped_at") is not None],
    "A refund is started": [stages(completion="running", mediation="running", inspection="running")],
    "The goods are inspected": [stages(completion="running", inspection="met", processing="running")],
    "The refund is processed": [stages(completion="running", processing="met", clearing="running")],
    "The refund is completed": [
        all_of(
            stages(completion="met", clearing="met", mediation="met"),
            lambda story: story.cell("disputes", 81, "status") == "closed",
        )
    ],
    "A refund is cancelled": [lambda story: not story.states("refund_completion", 41)],
    "The seller refuses": [lambda story: not story.states("seller_response", 82)],
    "A party escalates": [lambda story: story.cell("disputes", 82, "escalated_by") == "buyer"],
    "A dispute is closed": [lambda story: story.cell("disputes", 82, "status") == "closed"],
    "The dates to show": [has("seller_response", 83, "running"), found("seller_response")],
    "Why this date": [lambda story: story.rows[0][0].strip('"').startswith("Starts ") and len(story.rows) > 2],
    "The next dates of a seller": [found(83)],
    "What is wrong with your rows": [lambda story: list(story.rows) == []],
    "Look for news": [lambda story: [row[0] for row in story.rows] == sorted(row[0] for row in story.rows) != []],
    "Handle each once": [lambda _: True],
    "Close the books": [found(0), lambda _: True],
}
SHOP_FRONT = ("REASSIGN OWNED BY shop_front TO postgres", "DROP OWNED BY shop_front", "DROP ROLE shop_front")


@pytest.fixture
def story(database_url: str, tmp_path: Path) -> Iterator[Story]:
    played = Story(database_url, tmp_path)
    if played.database == "mariadb":  # the nobody of a fresh server would be taken for shop_front
        execute(connect(database_url), "DROP USER IF EXISTS ''@'localhost', ''@'127.0.0.1'")
    yield played
    played.engine.dispose()
    owner = connect(database_url)
    for statement in {"postgresql": SHOP_FRONT, "mariadb": ("DROP USER IF EXISTS shop_front",)}.get(played.database, ()):
        execute(owner, statement)
    owner.close()


def test_each_statement_does_what_its_section_says(story: Story) -> None:
    seen: dict[str, int] = {}
    for block in story.play():
        number = seen[block.heading] = seen.get(block.heading, 0) + 1
        assert block.heading in HOLDS, f"nothing says what holds after “{block.heading}”"
        assert HOLDS[block.heading][number - 1](story), f"“{block.heading}”, block {number}: {story.rows}"
    assert seen == {heading: len(conditions) for heading, conditions in HOLDS.items()}
    with reading(story.engine) as connection:
        assert connection.execute(select(problems.c.problem)).all() == []


def test_every_statement_stands_in_a_block_and_every_block_is_for_databases_that_there_are() -> None:
    assert all(set(block.words[1:]) <= DATABASES | {"owner"} for block in SQL)
    for database in DATABASES:
        assert {block.heading for block in SQL if not DATABASES & set(block.words) or database in block.words} >= set(HOLDS)
    stray = re.findall(r"`((?:SELECT|INSERT|UPDATE|DELETE|CREATE|GRANT|ALTER|DROP|SET)\s[^`]*)`", prose("front-end.md"))
    assert stray == []


def test_every_column_of_the_view_is_described(postgres_url: str) -> None:
    engine = open_market(postgres_url)
    with reading(engine) as connection:
        columns = set(connection.exec_driver_sql("SELECT * FROM clock_due").keys())
    engine.dispose()
    table = prose("front-end.md").partition("| `deadline_id` |")
    described = set(re.findall(r"^\|((?: `\w+`,?)+) \|", table[1] + table[2].partition("\n\n")[0], re.MULTILINE))
    assert {name for cell in described for name in re.findall(r"\w+", cell)} >= columns - {"deadline_id"}


def test_a_front_end_has_no_right_to_write_what_is_ours(story: Story) -> None:
    if story.database == "sqlite":
        return  # a file has no users, as the document says
    for _ in story.play():
        break
    front_end = connect(story.url, "shop_front", "change-me")
    for table in ("clock_deadlines", "clock_events", "clock_changes", "clock_outbox"):
        with pytest.raises(Exception, match=r"denied"):
            execute(front_end, f"DELETE FROM {table}")
    front_end.close()
