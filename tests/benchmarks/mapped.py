"""The same disputes in a shop's own tables: other names, a status in the shop's words, dates without a zone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from returnclock import schema
from returnclock.database import writing
from returnclock.engines import open_engine
from returnclock.mapping.attaching import execute, plan
from returnclock.mapping.watching import watches
from returnclock.settings import load
from returnclock.wiring import Wiring, wire
from tests.system.crowded_market import PARTIES

_DATETIME = {"sqlite": "TEXT", "postgresql": "timestamp"}
_TABLES = """
CREATE TABLE shop_people (id {id} PRIMARY KEY, role VARCHAR(10), mail VARCHAR(80), zone VARCHAR(40));
CREATE TABLE shop_orders (id {id} PRIMARY KEY, customer {id}, vendor {id}, land VARCHAR(2), arrived {datetime});
CREATE TABLE shop_cases (id {id} PRIMARY KEY, order_no {id}, state VARCHAR(20), raised {datetime}, raised_over {datetime});
CREATE INDEX shop_cases_order ON shop_cases (order_no)
"""
MAPPING = """
[market.orders]
table = "shop_orders"
[market.orders.columns]
buyer_id = "customer"
seller_id = "vendor"
country = "land"
delivered_at = "arrived"

[market.sellers]
table = "shop_people"
columns = { email = "mail", time_zone = "zone" }

[market.buyers]
table = "shop_people"
columns = { email = "mail", time_zone = "zone" }

[market.disputes]
table = "shop_cases"
writes = ["status", "escalated_at"]
[market.disputes.columns]
order_id = "order_no"
opened_at = "raised"
escalated_at = "raised_over"
status = { column = "state", values = { awaiting_seller = ["new", "asked"], accepted = "agreed", escalated = "with us" } }
"""


def open_shop(url: str, folder: Path) -> Engine:
    """A database with the shop's tables and ours, and the triggers of the change feed."""
    engine = open_engine(url)
    name = engine.dialect.name
    with writing(engine) as connection:
        numbers = {"id": "INTEGER" if name == "sqlite" else "BIGINT", "datetime": _DATETIME.get(name, "datetime(6)")}
        for statement in _TABLES.format(**numbers).split(";\n"):
            connection.execute(text(statement))
    schema.upgrade(engine, mapped=True)
    statements, _ = plan(engine, watches(wired(url, folder).settings.market))
    execute(engine, statements)
    return engine


def wired(url: str, folder: Path, **settings: Any) -> Wiring:
    """The parts of a worker on the shop's own tables."""
    file = folder / "mapped.toml"
    file.write_text(MAPPING)
    environ = {"DATABASE_URL": url, "RETURNCLOCK_DATA": str(folder), "RETURNCLOCK_CONFIG": str(file)}
    return wire(replace(load(environ), **settings))


def fill(engine: Engine, opened: datetime, rows: int, chunk: int) -> None:
    """One order and one silent case for each row."""
    naive = opened.astimezone(UTC).replace(tzinfo=None)
    with writing(engine) as connection:
        parties = [(n, "seller", f"s{n}@shop.example", "Europe/Lisbon") for n in range(1, PARTIES + 1)]
        _add(connection, "shop_people", ("id", "role", "mail", "zone"), parties)
        for start in range(1, rows + 1, chunk):
            numbers = range(start, min(start + chunk, rows + 1))
            party = {n: n % PARTIES + 1 for n in numbers}
            _add(
                connection,
                "shop_orders",
                ("id", "customer", "vendor", "land"),
                [(n, party[n], party[n], "DE") for n in numbers],
            )
            moments = [naive + timedelta(seconds=n % 3600) for n in numbers]
            if engine.dialect.name == "sqlite":
                moments = [moment.isoformat(" ") for moment in moments]  # type: ignore[misc]
            cases = [(n, n, "new", moment) for n, moment in zip(numbers, moments, strict=True)]
            _add(connection, "shop_cases", ("id", "order_no", "state", "raised"), cases)


def _add(connection: Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    marks = ", ".join(f":{column}" for column in columns)
    insert = text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})")
    connection.execute(insert, [dict(zip(columns, row, strict=True)) for row in rows])
