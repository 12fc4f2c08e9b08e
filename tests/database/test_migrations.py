"""The migrations make just what the tables in the code describe, and can be run twice, backwards, and by two at once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from returnclock import schema
from returnclock.database import writing
from returnclock.engines import open_engine
from returnclock.errors import SchemaBehind
from returnclock.tables.clock import CLOCK_TABLES
from returnclock.tables.market import MARKET_TABLES, metadata
from tests.database.market import Market

OURS_IN_THE_MARKET = {
    "orders": {"return_status", "return_expired_at"},
    "disputes": {"status", "escalated_at", "escalated_by"},
    "refunds": {"late_since", "late_stage"},
}


def differences(engine: Engine) -> list[object]:
    """What is between the database and the tables in the code."""
    with engine.connect() as connection:
        options: dict[str, object] = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        if engine.dialect.name in ("mysql", "mariadb"):
            # There they have another column, which the tables in the code cannot say.
            options["include_object"] = lambda _, name, *__: name not in ("ix_clock_deadlines_due", "ix_clock_deadlines_remind")
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def downgrade(engine: Engine) -> None:
    with writing(engine) as connection:
        command.downgrade(schema._config(connection), "base")


def test_an_upgrade_from_nothing_makes_the_tables_of_the_code_and_a_second_one_changes_nothing(database_url: str) -> None:
    engine = open_engine(database_url)
    with pytest.raises(SchemaBehind):
        schema.require_current(engine)

    assert schema.upgrade(engine) == (None, schema.needed())
    assert differences(engine) == []
    assert schema.upgrade(engine) == (schema.needed(), schema.needed())
    assert differences(engine) == []
    schema.require_current(engine)
    assert schema.missing_triggers(engine) == []
    engine.dispose()


def test_the_look_at_the_schema_at_each_start_is_told_to_no_log(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_engine(database_url)
    caplog.set_level(logging.INFO)
    assert schema.found(engine) is None
    schema.upgrade(engine)
    caplog.clear()
    schema.require_current(engine)
    assert caplog.records == []
    engine.dispose()


def test_a_downgrade_leaves_nothing_behind_and_the_way_up_is_open_again(database_url: str) -> None:
    engine = open_engine(database_url)
    schema.upgrade(engine)
    downgrade(engine)
    assert set(inspect(engine).get_table_names()) <= {schema.VERSION_TABLE}
    assert schema.found(engine) is None

    schema.upgrade(engine)
    assert differences(engine) == []
    assert schema.missing_triggers(engine) == []
    engine.dispose()


UPGRADE = """
import sys
from returnclock import schema
from returnclock.engines import open_engine
print(schema.upgrade(open_engine(sys.argv[1]))[0])
"""


def test_two_upgrades_at_once_do_no_harm(database_url: str) -> None:
    # Two processes: Alembic keeps the connection of a migration in the module, so two threads would share it.
    command_line = [sys.executable, "-c", UPGRADE, database_url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": {**os.environ, "PYTHONPATH": ":".join(sys.path)}}
    both = [subprocess.Popen(command_line, text=True, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]

    assert sorted(said) == sorted([f"{schema.needed()}\n", "None\n"])
    engine = open_engine(database_url)
    assert differences(engine) == []
    engine.dispose()


def test_every_column_of_ours_says_in_the_database_when_it_changes(postgres_market: Market) -> None:
    wanted = {(table.name, column.name): column.comment for table in CLOCK_TABLES.values() for column in table.columns}
    wanted |= {(table.name, column.name): column.comment for table in MARKET_TABLES.values() for column in table.columns}
    asked = text(
        "SELECT table_name, column_name, col_description(('public.' || table_name)::regclass, ordinal_position)"
        " FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> :version"
    )
    with postgres_market.transaction() as connection:
        said = {(row[0], row[1]): row[2] for row in connection.execute(asked, {"version": schema.VERSION_TABLE})}

    assert said == wanted
    assert all(said.values())


def test_the_columns_that_returnclock_writes_are_marked(market: Market) -> None:
    marked = {
        table.name: {column.name for column in table.columns if (column.comment or "").startswith("◆")}
        for table in MARKET_TABLES.values()
    }
    written = {
        kind.subject.name: {*kind.effect, *kind.withdrawal}
        | {column for other in market.wiring.kinds if other.subject is kind.subject for column in other.effect}
        for kind in market.wiring.kinds
    }
    assert {name: columns for name, columns in marked.items() if columns} == OURS_IN_THE_MARKET
    assert all(columns <= OURS_IN_THE_MARKET[table] for table, columns in written.items())


@pytest.mark.parametrize(
    ("table", "column"),
    [("disputes", "status"), ("disputes", "kind"), ("orders", "return_status"), ("refunds", "status")],
)
def test_an_unknown_status_is_refused_by_the_database(market: Market, table: str, column: str) -> None:
    with pytest.raises(DBAPIError):
        market.insert(table, **{column: "perhaps"})


def test_only_the_id_is_needed_to_insert_a_row(market: Market) -> None:
    for table in MARKET_TABLES:
        market.insert(table)
    market.run("stamp")

    assert market.row("disputes", market.rows(MARKET_TABLES["disputes"])[0].id).status == "awaiting_seller"
