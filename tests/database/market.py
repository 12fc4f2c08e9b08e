"""A marketplace for one test: a front end that writes plain SQL, and returnclock's tasks under a clock that stands.

The front end has a connection of its own, opened without anything of returnclock's; what returnclock wrote is read
through its tables, so that instants are aware datetimes in every database.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, create_engine, event, func, select, text
from sqlalchemy.pool import NullPool

from returnclock.clock import FrozenClock
from returnclock.database import reading
from returnclock.explain import Explanation, explain
from returnclock.runs import perform
from returnclock.settings import load
from returnclock.tables.clock import deadlines, events, outbox, problems
from returnclock.tables.market import MARKET_TABLES
from returnclock.wiring import Wiring, wire
from tests.database.postbox import PostBox

MONDAY = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)  # no holiday of the United States within three weeks after it
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def front_end_engine(url: str) -> Engine:
    """Connections as a front end opens them: in SQLite without foreign keys, as every SQLite client does by default."""
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "connect")
        def _elsewhere(connection: Any, _record: Any) -> None:
            # A session in another zone than UTC: what the triggers and defaults write must not depend on it.
            connection.execute("SET TIME ZONE 'Asia/Kolkata'")
            connection.commit()

    return engine


class Market:
    """One market's database, through the engine that is given: it keeps the statements that it has compiled."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.url = engine.url.render_as_string(hide_password=False)
        self.clock = FrozenClock(MONDAY)
        self.front_end = front_end_engine(self.url)
        self.dialect = self.front_end.dialect.name
        self.mailer = PostBox()
        self._ids = itertools.count(1)
        self.wiring: Wiring
        self.configure("")

    def configure(self, toml: str) -> None:
        """Start anew with other settings, as an operator does after editing returnclock.toml.

        Amnesty is off unless the settings speak of it: most tests go straight to the due moment and send no reminders.
        """
        if "[ops]" not in toml:
            toml += '\n[ops]\nwarning_lead = "none"\n'
        file = self.folder / "returnclock.toml"
        file.write_text(toml)
        environ = {"DATABASE_URL": self.url, "RETURNCLOCK_DATA": str(self.folder), "RETURNCLOCK_CONFIG": str(file)}
        self.wiring = self._with_mailer(wire(load(environ, self.folder)))

    def _with_mailer(self, wiring: Wiring) -> Wiring:
        return Wiring(wiring.settings, self.engine, self.clock, wiring.rulebook, self.mailer)

    # What a front end does.

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.front_end.begin() as connection:
            yield connection

    def sql(self, statement: str, **values: Any) -> None:
        with self.transaction() as connection:
            connection.execute(text(statement), self.in_its_form(values))

    def in_its_form(self, values: dict[str, Any]) -> dict[str, Any]:
        return {name: self._instant(value) if isinstance(value, datetime) else value for name, value in values.items()}

    def _instant(self, moment: datetime) -> Any:
        if self.dialect == "postgresql":
            return moment
        naive = moment.astimezone(UTC).replace(tzinfo=None)
        return naive.isoformat(" ") if self.dialect == "sqlite" else naive

    def insert(self, table: str, **values: Any) -> int:
        """Insert one row by plain SQL; the id is given or the next that is free."""
        row = {"id": next(self._ids), **values}
        with self.transaction() as connection:
            self.insert_with(connection, table, row)
        return int(row["id"])

    def insert_with(self, connection: Connection, table: str, row: dict[str, Any]) -> None:
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), self.in_its_form(row))

    def update(self, table: str, row_id: int, **values: Any) -> None:
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        self.sql(f"UPDATE {table} SET {assignments} WHERE id = :row_id", row_id=row_id, **values)

    def delete(self, table: str, row_id: int) -> None:
        self.sql(f"DELETE FROM {table} WHERE id = :row_id", row_id=row_id)

    def order(self, **values: Any) -> int:
        """An order with a seller and a buyer of its own, who can be written to."""
        if "seller_id" not in values:
            number = next(self._ids)
            values["seller_id"] = self.insert("sellers", id=number, name="Ana", email=f"seller{number}@shop.example")
        if "buyer_id" not in values:
            number = next(self._ids)
            values["buyer_id"] = self.insert("buyers", id=number, name="Bea", email=f"buyer{number}@home.example")
        return self.insert("orders", **values)

    def dispute(self, opened_at: Any = MONDAY, **values: Any) -> int:
        values.setdefault("order_id", None)
        values["order_id"] = values["order_id"] or self.order()
        return self.insert("disputes", opened_at=opened_at, **values)

    def refund(self, started_at: Any = MONDAY, **values: Any) -> int:
        values["order_id"] = values.get("order_id") or self.order()
        return self.insert("refunds", started_at=started_at, **values)

    # What returnclock does.

    def run(self, task: str, at: datetime | None = None, at_time: datetime | None = None, **options: Any) -> dict[str, Any]:
        """Run one task now, or at another time to which the clock is then set; ``at_time`` is what --at says."""
        if at is not None:
            self.clock.at = at
        if at_time is not None:
            options["at"] = at_time
        wiring = self._with_mailer(self.wiring)
        return perform(wiring, task, **{"trigger": "beat", "actor": "beat", **options})

    def sweep_all(self, at: datetime | None = None) -> int:
        """Run every sweep and return how many deadlines fired."""
        if at is not None:
            self.clock.at = at
        return sum(int(self.run(task)["changed"]) for task in self.wiring.rulebook.tasks())

    # What can be read.

    def rows(self, table: Table, **wanted: Any) -> Sequence[Row[Any]]:
        with reading(self.wiring.engine) as connection:
            chosen = select(table).order_by(*table.primary_key.columns)
            return connection.execute(chosen.filter_by(**wanted)).all()

    def row(self, name: str, row_id: int) -> Row[Any]:
        (row,) = self.rows(MARKET_TABLES[name], id=row_id)
        return row

    def deadlines(self, kind: str, subject_id: int) -> Sequence[Row[Any]]:
        return self.rows(deadlines, kind=kind, subject_id=str(subject_id))

    def deadline(self, kind: str, subject_id: int) -> Row[Any]:
        (deadline,) = self.deadlines(kind, subject_id)
        return deadline

    def states(self, kind: str, subject_id: int) -> list[str]:
        return [deadline.state for deadline in self.deadlines(kind, subject_id)]

    def events(self, kind: str | None = None, subject_id: int | None = None) -> list[str]:
        wanted = {"kind": kind} if kind else {}
        wanted |= {"subject_id": str(subject_id)} if subject_id is not None else {}
        return [row.event for row in self.rows(events, **wanted)]

    def notices(self, **wanted: Any) -> Sequence[Row[Any]]:
        return self.rows(outbox, **wanted)

    def open_problems(self, table_name: str | None = None, subject_id: int | None = None) -> dict[str, str]:
        """The open problems: code -> sentence."""
        wanted = {"table_name": table_name} if table_name else {}
        wanted |= {"subject_id": str(subject_id)} if subject_id is not None else {}
        return {row.code: row.problem for row in self.rows(problems, **wanted) if row.resolved_at is None}

    def explain(self, table: str, row_id: Any, at: datetime | None = None) -> Explanation:
        """What `explain` tells of a row, now or at another time."""
        with reading(self.engine) as connection:
            means = (self.wiring.rulebook, self.wiring.settings.mail)
            return explain(connection, *means, table, str(row_id), at or self.clock.at)

    def count(self, table: Table) -> int:
        with reading(self.wiring.engine) as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
