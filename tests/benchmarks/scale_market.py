"""A market of millions, written by the database itself: running deadlines with their rows, and settled ones behind them.

Only what a sweep, a purge and a front end's query look at is filled in. Of the settled deadlines only the oldest, those that
purge is to move, have events and notices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.benchmarks.bare import plain_postgres_url
from tests.system.crowded_market import open_market

SLICE = 200_000
AT_REST = 2_000_000_000  # ids of the orders that disputes and refunds are about; their own windows have long expired
ORDERS_AT_REST = 1_000
FALLEN = 1_000_000_000  # ids of the rows that fall due at once lie above it, those of the market below
FILLED = ("orders", "disputes", "refunds", "clock_deadlines", "clock_events", "clock_outbox")

_SCHEDULE = """'{"zone": "Europe/Lisbon", "calendar": "PT", "last_day": "2026-03-07",
 "reminders": ["2026-03-05T17:40:00+00:00", "2026-03-06T17:40:00+00:00"]}'::jsonb"""
# A tenth of a refund is a third of the deadlines: three kinds bind it. The first falls due two hours from now.
_DUE = "%(now)s + interval '2 hours' + n * (interval '15 days' / %(of)s)"
_COLUMNS = (
    "id, kind, subject_id, party, starts_at, promised_at, due_at, remind_at, state, policy_id, round, schedule, stamped_at"
)

_ORDERS = f"""INSERT INTO orders (id, number, category, country, delivered_at, return_status)
 SELECT %(base)s + n, 'A-' || n, 'lamps', 'PT', ({_DUE}) - interval '15 days', 'open' FROM generate_series(%(a)s, %(b)s) n"""
_DISPUTES = f"""INSERT INTO disputes (id, order_id, reason, opened_at)
 SELECT %(base)s + n, {AT_REST} + n %% {ORDERS_AT_REST}, 'The lamp is broken in two places and the cable is missing.',
 ({_DUE}) - interval '5 days' FROM generate_series(%(a)s, %(b)s) n"""
_REFUNDS = f"""INSERT INTO refunds (id, order_id, amount, currency, started_at)
 SELECT %(base)s + n, {AT_REST} + n %% {ORDERS_AT_REST}, 12.5, 'EUR', ({_DUE}) - interval '14 days'
 FROM generate_series(%(a)s, %(b)s) n"""


def _running(kind: str, party: str, days: int, later: int = 0) -> str:
    due = f"({_DUE}) + interval '{later} days'"
    return f"""INSERT INTO clock_deadlines ({_COLUMNS})
 SELECT %(first)s + n, '{kind}', (%(base)s + n)::text, '{party}', ({_DUE}) - interval '{days} days', {due}, {due},
 CASE WHEN n * 15 > %(of)s * 2 THEN ({_DUE}) - interval '1 day' END, 'running', 1, 0, {_SCHEDULE}, %(now)s
 FROM generate_series(%(a)s, %(b)s) n"""


# They belong to earlier turns of rows, as those of a re-opened dispute do. The oldest, up to %(old)s, are past their retention.
_SETTLED = f"""INSERT INTO clock_deadlines ({_COLUMNS}, fired_at, settled_at)
 SELECT n, kind, (n / 2 + 1)::text, 'buyer', settled - interval '10 days', settled, settled, NULL, state, 1, 0, {_SCHEDULE},
 settled - interval '10 days', CASE state WHEN 'fired' THEN settled END, settled
 FROM (SELECT n, CASE n %% 2 WHEN 0 THEN 'seller_response' ELSE 'return_window' END AS kind,
 CASE n %% 3 WHEN 0 THEN 'fired' ELSE 'met' END AS state, CASE WHEN n <= %(old)s THEN %(now)s - interval '401 days'
 ELSE %(now)s - interval '390 days' * (1 - n::float / %(of)s) END - n * interval '1 microsecond' AS settled
 FROM generate_series(%(a)s, %(b)s) n) AS past"""
_EVENTS = """INSERT INTO clock_events (deadline_id, kind, subject_id, event, at, actor, detail)
 SELECT id, kind, subject_id, event, settled_at, 'clock', '{"zone": "Europe/Lisbon", "steps": ["5 days from the start"]}'
 FROM clock_deadlines, (VALUES ('deadline:stamped'), ('deadline:met')) AS told (event) WHERE id BETWEEN %(a)s AND %(b)s"""
_NOTICES = """INSERT INTO clock_outbox (key, kind, deadline_id, notice, party, recipient, state, attempts, queued_at, sent_at)
 SELECT id || '.0.reminder.1.buyer', kind, id, 'reminder', 'buyer', 'b@home.example', 'sent', 1, settled_at, settled_at
 FROM clock_deadlines WHERE id BETWEEN %(a)s AND %(b)s"""


@dataclass(frozen=True)
class Market:
    """Where it is, and of what size: running deadlines, settled ones behind them, and those of them past their retention."""

    url: str
    running: int
    settled: int
    old: int

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A front end's connection, which commits each statement and has the superuser's rights."""
        # Values go as literals: the server takes a small number for a smallint, and generates no series of those.
        plain = plain_postgres_url(self.url)
        with psycopg.connect(plain, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            yield connection

    def one(self, query: str, **values: Any) -> Any:
        """The one value that a query gives."""
        with self.connection() as connection:
            row = connection.execute(query.encode(), values).fetchone()
            assert row is not None
            return row[0]


def make(url: str, *, running: int, settled: int, old: int) -> Market:
    """Fill an empty database. The schema's indexes are built after the rows, as a restore does it."""
    open_market(url).dispose()
    market = Market(url, running, settled, old)
    now = market.one("SELECT now()")
    with market.connection() as connection:
        connection.execute("INSERT INTO clock_policies (id, kind, digest, definition) VALUES (1, 'scale', 'scale', '{}')")
        _orders_at_rest(connection)
        rebuilt = _drop_indexes(connection)
    disputes, orders, refunds = running * 3 // 10, running * 4 // 10, running // 10
    works = [
        (_SETTLED, settled, 0, {"old": old}),
        (_ORDERS, orders, 0, {}),
        (_DISPUTES, disputes, 0, {}),
        (_REFUNDS, refunds, 0, {}),
        (_running("return_window", "buyer", 15), orders, settled, {}),
        (_running("seller_response", "seller", 5), disputes, settled + orders, {}),
        (_running("refund_inspection", "seller", 14), refunds, settled + orders + disputes, {}),
        (_running("refund_completion", "seller", 14, 1), refunds, settled + orders + disputes + refunds, {}),
        (_running("refund_mediation", "buyer", 14, 2), refunds, settled + orders + disputes + 2 * refunds, {}),
        (_EVENTS, old, 0, {}),
        (_NOTICES, old, 0, {}),
    ]
    for statement, rows, first, more in works:
        _in_slices(market, statement, rows, {"now": now, "of": max(rows, 1), "base": 0, "first": first, **more})
    with market.connection() as connection:
        connection.execute("SELECT setval('clock_deadlines_id_seq', (SELECT max(id) FROM clock_deadlines))")
    _rebuild(market, rebuilt)
    return market


def let_fall_due(market: Market, number: int, *, from_s: float = -3600.0, over_s: float = 1200.0) -> None:
    """Let so many more fall due, half of them disputes and half windows; nobody sees any before all are there.

    They are due from so many seconds after now on, evenly over so many seconds. The default is the end of an outage.
    """
    disputes, orders = number - number // 2, number // 2
    begun = market.one("SELECT greatest(max(id), %(fallen)s) FROM disputes", fallen=FALLEN)
    values = {
        "now": market.one("SELECT now() - interval '2 hours' + %(from_s)s * interval '1 second'", from_s=from_s),
        "of": 15 * 86400 / over_s * disputes,
        "base": begun,
        "a": 1,
    }
    first = market.one("SELECT last_value FROM clock_deadlines_id_seq")
    steps = (
        (_DISPUTES, {"b": disputes}),
        (_running("seller_response", "seller", 5), {"b": disputes, "first": first}),
        (_ORDERS, {"b": orders}),
        (_running("return_window", "buyer", 15), {"b": orders, "first": first + disputes}),
    )
    with market.connection() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # neither triggers nor foreign keys
        for statement, more in steps:
            connection.execute(statement.encode(), values | more)
        connection.execute(b"SELECT setval('clock_deadlines_id_seq', %(last)s)", {"last": first + number})


def _orders_at_rest(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        f"INSERT INTO orders (id, return_status) SELECT {AT_REST} + n, 'expired' FROM generate_series(0, {ORDERS_AT_REST}) n"
    )
    connection.execute("DELETE FROM clock_changes")


def _in_slices(market: Market, statement: str, rows: int, values: dict[str, Any]) -> None:
    def insert(start: int) -> None:
        with market.connection() as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("SET synchronous_commit = off")
            connection.execute(statement.encode(), values | {"a": start, "b": min(start + SLICE - 1, rows)})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(insert, range(1, rows + 1, SLICE)))


def _drop_indexes(connection: psycopg.Connection[Any]) -> list[str]:
    """Drop what is not a primary key; returns the statements that make all of it anew."""
    names = ", ".join(f"'{name}'" for name in FILLED)
    keys = connection.execute(
        f"SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        f" WHERE contype = 'u' AND conrelid::regclass::text IN ({names})".encode()
    ).fetchall()
    for table, name, _ in keys:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
    indexes = connection.execute(
        f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ({names}) AND indexname NOT LIKE 'pk_%'".encode()
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}".encode())
    return [f"ALTER TABLE {table} ADD CONSTRAINT {name} {made}" for table, name, made in keys] + [made for _, made in indexes]


def _rebuild(market: Market, statements: Sequence[str]) -> None:
    with market.connection() as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute(f"VACUUM ANALYZE {', '.join(FILLED)}".encode())
        connection.execute("CHECKPOINT")
