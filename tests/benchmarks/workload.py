"""The rows that every contender works on: disputes whose sellers stayed silent, in a database with returnclock's schema.

They are stamped once, by returnclock itself, and kept aside with the reminder that each seller was sent in time, as in a market
where all went well; before each turn they are put back as they were, by the database alone, so that a contender finds as many
disputes and deadlines as it has to work off. That is the same number for all of a contest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, func, insert, literal, select, text, update

from returnclock.clock import FrozenClock
from returnclock.database import reading, writing
from returnclock.runs import perform
from returnclock.tables.clock import deadlines, events, outbox
from returnclock.tables.keys import as_text
from returnclock.tables.market import buyers, disputes, orders, sellers
from tests.system.crowded_market import PARTIES, add, open_market, present, wired

CHUNK = 10_000
OPENED = timedelta(days=6)  # ago: one day past the five that a seller has
OPENED_WITHIN = timedelta(hours=1)
REASON = "The parcel arrived, but the lamp in it is broken in two places and the cable is missing."
# table -> which of its rows belong to the first disputes
KEPT = {
    "disputes": "CAST(id AS DECIMAL) <= {rows}",
    "clock_deadlines": "CAST(subject_id AS DECIMAL) <= {rows}",
    "clock_outbox": "deadline_id IN (SELECT id FROM clock_deadlines)",
}
EMPTIED = ("clock_outbox", "clock_events", "clock_archive", "clock_runs", "clock_deadlines", "disputes", "clock_changes")


class WrongOutcome(Exception):
    """A contender did not do the work that its time would stand for."""


class Workload:
    """``rows`` disputes that are due, in the database behind ``url``; ``restore`` puts back all or the first of them."""

    def __init__(self, url: str, folder: Path, rows: int) -> None:
        self.url, self.rows = url, rows
        self.engine = open_market(url)
        self.wiring = wired(url, folder)
        now = present(self.engine)
        with writing(self.engine) as connection:
            _fill(connection, rows, now - OPENED)
        # As soon as they were there: what was stamped after its reminders has none, and needs no look for them.
        early = replace(self.wiring, clock=FrozenClock(now - OPENED + OPENED_WITHIN))
        perform(early, "stamp", trigger="cli", actor="clock")
        with writing(self.engine) as connection:
            _remind(connection)
        with self.server() as connection:
            for table in KEPT:
                connection.execute(text(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}"))

    def dispose(self) -> None:
        self.engine.dispose()
        self.wiring.engine.dispose()

    def restore(self, rows: int, *, stamped: bool = True) -> None:
        """Put ``rows`` disputes back: with their deadlines and no noted change, or new, with the changes that triggers note."""
        with self.server() as connection:
            _empty(connection, *EMPTIED)
            for table, of_them in KEPT.items():
                if stamped or table == "disputes":
                    only = of_them.format(rows=rows)
                    connection.execute(text(f"INSERT INTO {table} SELECT * FROM kept_{table} WHERE {only}"))
            if stamped:
                _empty(connection, "clock_changes")
            _settle(connection)

    @contextmanager
    def server(self) -> Iterator[Connection]:
        """A connection beside those of the contenders; each statement commits by itself."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def require_fired(self, rows: int) -> None:
        """Insist that exactly ``rows`` deadlines were enforced, each with all that belongs to it. Raises WrongOutcome."""
        expected = {
            "deadlines fired": rows,
            "disputes escalated": rows,
            "events told": rows,
            "sellers' notices": rows,
            "buyers' notices": rows,
            "notices": 2 * rows,
        }
        found = fired(self.engine)
        if found != expected:
            raise WrongOutcome(f"expected {expected}, found {found}")


def fired(engine: Engine) -> dict[str, int]:
    """What stands in the database of deadlines that were enforced."""
    of_key = as_text(deadlines.c.id) + "." + as_text(deadlines.c.round) + ".outcome.0." + outbox.c.party
    told_to = select(func.count()).join_from(outbox, deadlines, deadlines.c.id == outbox.c.deadline_id)
    told_to = told_to.where(outbox.c.state == "queued", outbox.c.key == of_key)
    counts = {
        "deadlines fired": _count(deadlines.c.state == "fired", deadlines.c.settled_at.is_not(None)),
        "disputes escalated": _count(disputes.c.status == "escalated", disputes.c.escalated_by == "clock"),
        "events told": _count(events.c.event == "dispute:escalated"),
        "sellers' notices": told_to.where(outbox.c.party == "seller"),
        "buyers' notices": told_to.where(outbox.c.party == "buyer"),
        "notices": _count(outbox.c.notice == "outcome"),
    }
    with reading(engine) as connection:
        return {what: connection.execute(counting).scalar_one() for what, counting in counts.items()}


def _count(*conditions: Any) -> Any:
    return select(func.count()).where(*conditions)


def _fill(connection: Connection, rows: int, opened: Any) -> None:
    parties = range(1, PARTIES + 1)
    add(connection, sellers, [_party(n, "seller") | {"time_zone": "Europe/Lisbon"} for n in parties])
    add(connection, buyers, [_party(n, "buyer") for n in parties])
    for start in range(1, rows + 1, CHUNK):
        numbers = range(start, min(start + CHUNK, rows + 1))
        add(connection, orders, [order_row(n) for n in numbers])
        moments = {n: opened + timedelta(seconds=n % OPENED_WITHIN.seconds) for n in numbers}
        add(connection, disputes, [dispute_row(n) | {"opened_at": moments[n]} for n in numbers])


def _remind(connection: Connection) -> None:
    """Let each seller have been reminded in time, of each deadline; the ids are out of the way of those to come."""
    connection.execute(update(deadlines).values(remind_at=None))
    values = {
        "id": -deadlines.c.id,
        "key": as_text(deadlines.c.id) + "." + as_text(deadlines.c.round) + ".reminder.0.seller",
        "kind": deadlines.c.kind,
        "deadline_id": deadlines.c.id,
        "notice": literal("reminder"),
        "party": deadlines.c.party,
        "recipient": literal("seller@home.example"),
        "state": literal("sent"),
        "attempts": literal(1),
        "queued_at": deadlines.c.stamped_at,
        "sent_at": deadlines.c.warn_by,
    }
    connection.execute(insert(outbox).from_select(list(values), select(*values.values())))


def _party(number: int, role: str) -> dict[str, Any]:
    return {"id": number, "name": f"Ana Pereira {number}", "email": f"{role}{number}@home.example", "country": "PT"}


def order_row(number: int) -> dict[str, Any]:
    party = number % PARTIES + 1
    return {
        "id": number,
        "buyer_id": party,
        "seller_id": party,
        "number": f"A-{number:08}",
        "category": "lamps",
        "country": "PT",
    }


def dispute_row(number: int) -> dict[str, Any]:
    return {"id": number, "order_id": number, "kind": "return_goods", "reason": REASON, "status": "awaiting_seller"}


def _empty(connection: Connection, *tables: str) -> None:
    """Leave tables as if they were new; a DELETE would leave the dead rows of one contender to the next."""
    name = connection.dialect.name
    if name == "postgresql":
        connection.execute(text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE"))
        return
    if name != "sqlite":
        connection.execute(text("SET foreign_key_checks = 0"))
    for table in tables:
        connection.execute(text(f"DELETE FROM {table}" if name == "sqlite" else f"TRUNCATE TABLE {table}"))


def _settle(connection: Connection) -> None:
    """Let the database do now what it would otherwise do at some moment within a run: statistics, checkpoints."""
    statements = {
        "postgresql": ["VACUUM ANALYZE disputes, clock_deadlines, clock_outbox, orders", "CHECKPOINT"],
        "sqlite": ["PRAGMA wal_checkpoint(TRUNCATE)"],
    }.get(connection.dialect.name, ["ANALYZE TABLE disputes, clock_deadlines, clock_outbox, orders"])
    for statement in statements:
        connection.execute(text(statement))
