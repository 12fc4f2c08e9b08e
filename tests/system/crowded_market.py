"""A market with many rows of which each kind has some that are due and some that are not, and the laws that then hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select

from returnclock import schema
from returnclock.clock import DatabaseClock
from returnclock.database import reading, writing
from returnclock.engines import open_engine
from returnclock.kinds import KINDS
from returnclock.runs import perform
from returnclock.settings import load
from returnclock.tables.clock import deadlines, events, outbox, problems, runs
from returnclock.tables.market import buyers, disputes, orders, refunds, sellers
from returnclock.wiring import Wiring, wire

# Which kinds are due once for each of the rows that are due: a dispute, a delivered order and a refund.
DUE_KINDS = ("seller_response", "return_window", "refund_completion", "refund_inspection", "refund_mediation")
OUTCOMES = {kind.name: len(kind.notices_for("outcome")) for kind in KINDS}
LETTERS_OF_ONE = sum(
    1 for kind in KINDS if kind.name in DUE_KINDS for notice in kind.notices_for("outcome") if not notice.digest
)
DELIVERED = 1_000_000  # the ids of orders that were delivered; those below belong to the disputes and refunds
NOT_DUE = 500_000  # the ids of rows whose time has not come
PARTIES = 20
# How a session is asked for the number by which an administrator ends it.
OWN_ID = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}


def open_market(url: str) -> Engine:
    """An engine on a fresh database with the schema."""
    engine = open_engine(url)
    schema.upgrade(engine)
    return engine


def wired(url: str, folder: Path, **settings: Any) -> Wiring:
    """The parts of a worker, in this process."""
    return wire(replace(load({"DATABASE_URL": url, "RETURNCLOCK_DATA": str(folder)}), **settings))


def act(wiring: Wiring, *tasks: str) -> dict[str, Any]:
    """Perform the tasks as beat does; returns the result of the last."""
    result: dict[str, Any] = {}
    for task in tasks:
        result = perform(wiring, task, trigger="beat", actor="beat")
    return result


def present(engine: Engine) -> datetime:
    with reading(engine) as connection:
        return DatabaseClock().now(connection)


def fill(engine: Engine, *, due: int, not_due: int = 0) -> None:
    """Insert rows as a front end does; every tenth seller has a time zone that the world does not know."""
    now = present(engine)
    with writing(engine) as connection:
        parties = range(1, PARTIES + 1)
        zones = {n: "Mars/Phobos" if n % 10 == 0 else "Europe/Lisbon" for n in parties}
        add(connection, sellers, [{"id": n, "email": f"s{n}@shop.example", "time_zone": zones[n]} for n in parties])
        add(connection, buyers, [{"id": n, "email": f"b{n}@home.example"} for n in parties])
        _fill_orders(connection, now, due, not_due)
        long_ago, lately = now - timedelta(days=30), now - timedelta(hours=3)
        opened = {n: now - timedelta(days=5, seconds=1 + n % 3600) for n in range(1, due + 1)}
        opened |= {NOT_DUE + n: now - timedelta(days=3, hours=1) for n in range(1, not_due + 1)}
        add(connection, disputes, [{"id": n, "order_id": n, "opened_at": moment} for n, moment in opened.items()])
        started = {n: lately if n > NOT_DUE else long_ago for n in opened}
        add(connection, refunds, [{"id": n, "order_id": n, "started_at": moment} for n, moment in started.items()])


def _fill_orders(connection: Connection, now: datetime, due: int, not_due: int) -> None:
    delivered: dict[int, datetime | None] = {n: None for n in range(1, due + 1)}
    delivered |= {NOT_DUE + n: None for n in range(1, not_due + 1)}
    delivered |= {DELIVERED + n: now - timedelta(days=20) for n in range(1, due + 1)}
    delivered |= {DELIVERED + NOT_DUE + n: now - timedelta(days=2) for n in range(1, not_due + 1)}
    party = {n: n % PARTIES + 1 for n in delivered}
    rows = [
        {"id": n, "buyer_id": party[n], "seller_id": party[n], "country": "DE", "delivered_at": moment}
        for n, moment in delivered.items()
    ]
    add(connection, orders, rows)


def add(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def broken_laws(engine: Engine, due: int) -> list[str]:
    """What is not as it must be after every due deadline was enforced; empty when all laws hold."""
    with reading(engine) as connection:
        now = DatabaseClock().now(connection)
        return [*_not_once(connection, due), *_not_in_time(connection, now), *_not_clean(connection)]


def _not_once(connection: Connection, due: int) -> Iterator[str]:
    fired = counts(connection, deadlines.c.kind, deadlines.c.state == "fired")
    if fired != dict.fromkeys(DUE_KINDS, due):
        yield f"fired deadlines are {fired}"
    firing = {kind.event for kind in KINDS}
    told = counts(connection, events.c.kind, events.c.event.in_(firing))
    if told != fired:
        yield f"fired deadlines are {fired}, but the ledger tells of {told}"
    for event in (*firing, "deadline:stamped", "reminder:queued"):
        told_of = select(events.c.deadline_id).where(events.c.event == event).group_by(events.c.deadline_id)
        if twice := connection.execute(told_of.having(func.count() > 1)).scalars().all():
            yield f"{event} happened twice to {len(twice)} deadlines, such as {twice[0]}"
    queued = counts(connection, outbox.c.kind, outbox.c.notice != "reminder")
    if queued != {kind: due * OUTCOMES[kind] for kind in DUE_KINDS}:
        yield f"queued notices of outcomes are {queued}"
    changed = {
        "escalated": disputes.c.escalated_by == "clock",
        "expired": orders.c.return_expired_at.is_not(None),
        "late": refunds.c.late_since.is_not(None),
        "late in a stage": refunds.c.late_stage.is_not(None),
    }
    for what, condition in changed.items():
        count = connection.execute(select(func.count()).where(condition)).scalar_one()
        if count != due:
            yield f"{count} rows are {what}, not {due}"


def _not_in_time(connection: Connection, now: datetime) -> Iterator[str]:
    laws = {
        "fired before they were due": (deadlines.c.state == "fired") & (deadlines.c.fired_at < deadlines.c.due_at),
        "still running although due": (deadlines.c.state == "running") & (deadlines.c.due_at <= now),
    }
    for what, condition in laws.items():
        if count := connection.execute(select(func.count()).where(condition)).scalar_one():
            yield f"{count} deadlines are {what}"


def _not_clean(connection: Connection) -> Iterator[str]:
    for error in connection.execute(select(runs.c.error).where(runs.c.state == "failed")).scalars():
        yield f"a run failed: {error}"
    odd = select(problems.c.problem).where(problems.c.code != "unknown_time_zone")
    yield from connection.execute(odd).scalars()


def counts(connection: Connection, of: Any, where: Any) -> dict[str, int]:
    """How many rows there are of each value of a column."""
    return {value: count for value, count in connection.execute(select(of, func.count()).where(where).group_by(of))}
