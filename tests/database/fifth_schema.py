"""A shop that keeps an instant in every way in which a column can, and says in ``updated`` when a row was last written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from tests.database.market import MONDAY, Market

NEW_YORK = 'time_zone = "America/New_York"'
EPOCH = 'form = "epoch"'
# By the way of keeping it: the type of the column, what the mapping says, and an instant of January as that column has it.
_NAIVE = "2026-01-05 08:30:00"
WAYS: dict[str, dict[str, tuple[str, str, Any]]] = {
    "sqlite": {
        "text": ("TEXT", "", "2026-01-05T08:30Z"),
        "local": ("TEXT", NEW_YORK, "2026-01-05 08:30"),
        "epoch": ("INTEGER", EPOCH, 1767601800),
        "epoch_text": ("TEXT", EPOCH, "1767601800"),
    },
    "postgresql": {
        "exact": ("timestamp", "", _NAIVE),
        "zoned": ("timestamptz", "", "2026-01-05 08:30:00+00"),
        "seconds": ("timestamp(0)", "", _NAIVE),
        "thousandths": ("timestamptz(3)", "", "2026-01-05 08:30:00.125+00"),
        "day": ("date", "", "2026-01-05"),
        "local": ("timestamp", NEW_YORK, _NAIVE),
        "local_seconds": ("timestamp(0)", NEW_YORK, _NAIVE),
        "epoch": ("bigint", EPOCH, 1767601800),
        "epoch_number": ("numeric(16, 3)", EPOCH, "1767601800.125"),
        "epoch_text": ("varchar(20)", EPOCH, "1767601800"),
    },
    "mariadb": {
        "exact": ("datetime(6)", "", _NAIVE),
        "zoned": ("timestamp(6) null", "", _NAIVE),
        "seconds": ("datetime", "", _NAIVE),
        "thousandths": ("datetime(3)", "", "2026-01-05 08:30:00.125"),
        "day": ("date", "", "2026-01-05"),
        "local": ("datetime(6)", NEW_YORK, _NAIVE),
        "local_seconds": ("datetime", NEW_YORK, _NAIVE),
        "epoch": ("bigint", EPOCH, 1767601800),
        "epoch_text": ("varchar(20)", EPOCH, "1767601800"),
    },
}
_MOMENT = {"sqlite": "TEXT", "postgresql": "timestamp", "mariadb": "datetime(6)"}
_UPDATED = _MOMENT | {"mariadb": "datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"}
_TABLES = """
CREATE TABLE purchase (
    ref INTEGER PRIMARY KEY, customer INTEGER, arrived {moment}, flag VARCHAR(9) DEFAULT '-', updated {updated});
CREATE TABLE claim (
    ref INTEGER PRIMARY KEY, purchase INTEGER, raised {moment}, state VARCHAR(9) DEFAULT 'asked', updated {updated}, {ways});
CREATE TABLE payback (
    ref INTEGER PRIMARY KEY, purchase INTEGER, begun {moment}, state VARCHAR(9) DEFAULT 'open', stage VARCHAR(9),
    updated {updated}, {ways})
"""
_MAPPING = """
[market.orders]
table   = "purchase"
key     = "ref"
writes  = ["return_status"]
touches = ["updated"]
[market.orders.columns]
delivered_at  = "arrived"
return_status = { column = "flag", values = { open = "-", requested = "asked", expired = "over" } }

[market.disputes]
table   = "claim"
key     = "ref"
writes  = ["status", "escalated_at"]
touches = ["updated"]
[market.disputes.columns]
order_id     = "purchase"
opened_at    = "raised"
status       = { column = "state", values = { awaiting_seller = "asked", accepted = "granted", escalated = "with us" } }
escalated_at = MAPPED

[market.refunds]
table   = "payback"
key     = "ref"
writes  = ["late_since", "late_stage"]
touches = ["updated"]
[market.refunds.columns]
order_id   = "purchase"
started_at = "begun"
status     = { column = "state", values = { inspecting = "open", completed = "paid", cancelled = "dropped" } }
late_stage = { column = "stage", values = { inspecting = "looking" } }
late_since = MAPPED
"""


class Kiosk(Market):
    """The fifth shop; ``way`` is how it keeps the instants that we write."""

    way = ""

    def configure(self, toml: str) -> None:
        self.way = self.way or next(iter(self.ways()))
        said = ", ".join(part for part in (f'column = "{self.way}_at"', self.ways()[self.way][1]) if part)
        super().configure(toml + _MAPPING.replace("MAPPED", f"{{ {said} }}"))

    def ways(self) -> dict[str, tuple[str, str, Any]]:
        return WAYS[self.dialect]

    def _instant(self, moment: datetime) -> Any:
        naive = moment.astimezone(UTC).replace(tzinfo=None)
        return naive.isoformat(" ") if self.dialect == "sqlite" else naive

    def lay_out(self) -> None:
        ways = ", ".join(f"{way}_at {kind}" for way, (kind, *_) in self.ways().items())
        moment, updated = _MOMENT[self.dialect], _UPDATED[self.dialect]
        with self.transaction() as connection:
            for statement in _TABLES.format(moment=moment, updated=updated, ways=ways).split(";\n"):
                connection.execute(text(statement))

    def keeping(self, way: str) -> Kiosk:
        """The same shop, new and empty, with its instants kept in that way."""
        self.clock.at, self.way = MONDAY, way
        self.configure("")
        own = ("archive", "problems", "runs", "outbox", "events", "deadlines", "policies", "changes")
        with self.transaction() as connection:
            for table in ("purchase", "claim", "payback", *(f"clock_{name}" for name in own)):
                connection.execute(text(f"DELETE FROM {table}"))
        return self

    def open(self, table: str, earlier: Any = None) -> int:
        """A claim or a payback of Monday, which has an earlier instant in the column that we write."""
        number = self.insert_row("purchase", arrived=None)
        dated = "raised" if table == "claim" else "begun"
        return self.insert_row(table, purchase=number, **{dated: MONDAY, f"{self.way}_at": earlier})

    def insert_row(self, table: str, **values: Any) -> int:
        number = next(self._ids)
        with self.transaction() as connection:
            self.insert_with(connection, table, {"ref": number, "updated": MONDAY, **values})
        return number

    def raw(self, table: str, column: str = "") -> Any:
        """What stands in the one row of a table, as the driver gives it; by default the instant that we write."""
        (value,) = self.all_raw(table, column)
        return value

    def all_raw(self, table: str, column: str = "") -> list[Any]:
        """The same of all its rows."""
        with self.transaction() as connection:
            found = connection.execute(text(f"SELECT {column or f'{self.way}_at'} FROM {table} ORDER BY ref"))
            return list(found.scalars())

    def updated(self, table: str) -> datetime:
        value = self.raw(table, "updated")
        naive = datetime.fromisoformat(value) if isinstance(value, str) else value
        return naive.replace(tzinfo=UTC)  # type: ignore[no-any-return]
