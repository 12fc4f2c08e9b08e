"""What the triggers cost a front end: its own inserts, through the plain driver, with returnclock's triggers and without."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import psycopg
import pymysql
from sqlalchemy import text
from sqlalchemy.engine import make_url

from returnclock.database import writing
from returnclock.tables.market import MARKET_TABLES, buyers, sellers
from tests.benchmarks.bare import plain_postgres_url
from tests.benchmarks.contest import Contender
from tests.benchmarks.workload import WrongOutcome, dispute_row, order_row
from tests.system.crowded_market import PARTIES, add, open_market

ROWS_A_STATEMENT = 500
OPENED = "2026-03-02 10:00:00"


def rows_of(table: str, numbers: range) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows that a front end inserts."""
    whole = [
        order_row(n) | {"ordered_at": OPENED} if table == "orders" else dispute_row(n) | {"opened_at": OPENED} for n in numbers
    ]
    return list(whole[0]), [tuple(row.values()) for row in whole]


class Shop:
    """A front end's database; ``with_triggers`` False takes returnclock's triggers away. Ids go on from turn to turn."""

    def __init__(self, url: str, *, with_triggers: bool) -> None:
        self.url, self.with_triggers = url, with_triggers
        self.backend = make_url(url).get_backend_name()
        self.last = {"orders": 0, "disputes": 0}
        engine = open_market(url)
        with writing(engine) as connection:
            for party in (sellers, buyers):
                add(connection, party, [{"id": n} for n in range(1, PARTIES + 1)])
        if not with_triggers:
            with engine.begin() as connection:
                for table in MARKET_TABLES:
                    of = f" ON {table}" if self.backend == "postgresql" else ""
                    for happening in ("insert", "update", "delete"):
                        connection.execute(text(f"DROP TRIGGER clock_{table}_{happening}{of}"))
        engine.dispose()

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """A connection of the front end's own, which commits each statement."""
        parsed = make_url(self.url)
        connection: Any
        if self.backend == "postgresql":
            connection = psycopg.connect(plain_postgres_url(self.url), autocommit=True)
        elif self.backend == "sqlite":
            connection = sqlite3.connect(parsed.database or "", isolation_level=None)
            connection.execute("PRAGMA synchronous=NORMAL")
        else:
            where = {"host": parsed.host, "port": parsed.port or 3306, "user": parsed.username, "database": parsed.database}
            connection = pymysql.connect(**where, autocommit=True)
        with closing(connection), closing(connection.cursor()) as cursor:
            yield cursor

    def turn(self, table: str, rows: int, a_statement: int) -> float:
        """Insert so many rows, so many with each statement; returns the seconds. Raises WrongOutcome."""
        first = self.last[table] + 1
        self.last[table] += rows
        names, values = rows_of(table, range(first, first + rows))
        mark = "?" if self.backend == "sqlite" else "%s"
        with self.cursor() as cursor:
            noted = _count(cursor, "clock_changes")
            begun = time.perf_counter()
            for start in range(0, rows, a_statement):
                some = values[start : start + a_statement]
                marks = ", ".join([f"({', '.join([mark] * len(names))})"] * len(some))
                cursor.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES {marks}", [v for row in some for v in row])
            took = time.perf_counter() - begun
            noted = _count(cursor, "clock_changes") - noted
        expected = rows if self.with_triggers else 0
        if noted != expected:
            raise WrongOutcome(f"{noted} changes were noted, not {expected}")
        return took


def _count(cursor: Any, table: str) -> int:
    cursor.execute(f"SELECT count(*) FROM {table}")
    return int(cursor.fetchone()[0])


def _orders_first(shop: Shop, disputes: int) -> None:
    """Insert the orders that so many disputes refer to."""
    missing = disputes - shop.last["orders"]
    if missing > 0:
        shop.turn("orders", missing, ROWS_A_STATEMENT)


def inserting(shops: Sequence[Shop], table: str, rows: int, a_statement: int) -> list[Contender]:
    """The same inserts without the triggers and with them."""

    def turn(shop: Shop) -> float:
        if table == "disputes":
            _orders_first(shop, shop.last["disputes"] + rows)
        return shop.turn(table, rows, a_statement)

    settings = {"connections": 1, "rows_a_statement": a_statement, "commit": "each statement"}
    for shop in shops:
        turn(shop)
    return [
        Contender("with triggers" if shop.with_triggers else "without triggers", rows, partial(turn, shop), settings)
        for shop in shops
    ]
