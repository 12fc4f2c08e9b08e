"""A shop that keeps everything otherwise: text keys, local times without a zone, a status as a number in a table beside, a date
that is the latest of several parcels, and addresses behind a view of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from tests.database.market import MONDAY, Market

LISBON = ZoneInfo("Europe/Lisbon")
AWAITED, ANSWERED, OVER = 10, 20, 90

_TABLES = """
CREATE TABLE person (id INTEGER PRIMARY KEY, full_name VARCHAR(80));
CREATE TABLE mailbox (person_id INTEGER NOT NULL, address VARCHAR(120));
CREATE VIEW contact AS SELECT p.id, p.full_name, m.address FROM person p LEFT JOIN mailbox m ON m.person_id = p.id;
CREATE TABLE purchase (
    ref VARCHAR(255) PRIMARY KEY, customer INTEGER, vendor INTEGER, flag VARCHAR(9) DEFAULT '-', flagged_on {datetime});
CREATE TABLE parcel (ref VARCHAR(255) NOT NULL, arrived {datetime});
CREATE TABLE complaint (ref VARCHAR(255) PRIMARY KEY, purchase VARCHAR(255) NOT NULL, raised {datetime});
CREATE TABLE complaint_state (complaint VARCHAR(255) PRIMARY KEY, code INTEGER NOT NULL);
CREATE TABLE payback (
    ref VARCHAR(40) PRIMARY KEY, purchase VARCHAR(40) NOT NULL, begun {datetime}, state VARCHAR(12), late {datetime});
CREATE INDEX parcel_ref ON parcel (ref);
CREATE INDEX complaint_purchase ON complaint (purchase)
"""
_DATETIME = {"sqlite": "TEXT", "postgresql": "timestamp", "mariadb": "datetime(6)"}

MAPPING = """
[market]
time_zone = "Europe/Lisbon"

[market.orders]
table    = "purchase"
key      = "ref"
key_type = "text"
writes   = ["return_status", "return_expired_at"]

[market.orders.columns]
buyer_id          = "customer"
seller_id         = "vendor"
delivered_at      = { table = "parcel", column = "arrived", on = { ref = "ref" }, take = "latest" }
return_status     = { column = "flag", values = { open = "-", requested = "asked", expired = "over" } }
return_expired_at = "flagged_on"

[market.buyers]
table   = "contact"
columns = { name = "full_name", email = "address" }

[market.sellers]
table   = "contact"
columns = { name = "full_name", email = "address" }

[market.disputes]
table    = "complaint"
key      = "ref"
key_type = "text"

[market.disputes.columns]
order_id  = "purchase"
opened_at = "raised"

[market.disputes.columns.status]
table  = "complaint_state"
column = "code"
on     = { complaint = "ref" }
values = { awaiting_seller = 10, accepted = 20, closed = 90 }

[market.refunds]
table    = "payback"
key      = "ref"
key_type = "text"
writes   = ["late_since"]

[market.refunds.columns]
order_id   = "purchase"
started_at = "begun"
late_since = "late"
status     = { column = "state", values = { processing = "open", completed = "paid", cancelled = "dropped" } }
"""


class Bazaar(Market):
    """The fourth shop."""

    def configure(self, toml: str) -> None:
        collation = 'key_collation = "utf8mb4_general_ci"\n' if self.dialect == "mariadb" else ""
        super().configure(toml + MAPPING.replace('key_type = "text"\n', 'key_type = "text"\n' + collation))

    def _instant(self, moment: datetime) -> Any:
        local = moment.astimezone(LISBON).replace(tzinfo=None)
        return local.isoformat(" ") if self.dialect == "sqlite" else local

    def lay_out(self) -> None:
        kind = _DATETIME[self.dialect]
        with self.transaction() as connection:
            for statement in _TABLES.format(datetime=kind).split(";\n"):
                connection.execute(text(statement))
            for person, role in ((1, "buyer"), (2, "seller")):
                self.insert_with(connection, "person", {"id": person, "full_name": "Bea" if person == 1 else "Ana"})
                self.insert_with(connection, "mailbox", {"person_id": person, "address": f"{role}@home.example"})

    def empty(self) -> None:
        """As if the shop had just opened, with the people whom it knows."""
        self.clock.at, self.mailer.taken = MONDAY, []
        self.configure("")
        own = ("archive", "problems", "runs", "outbox", "events", "deadlines", "policies", "changes")
        with self.transaction() as connection:
            for table in ("purchase", "parcel", "complaint", "complaint_state", "payback", *(f"clock_{name}" for name in own)):
                connection.execute(text(f"DELETE FROM {table}"))

    def add(self, table: str, **values: Any) -> None:
        with self.transaction() as connection:
            self.insert_with(connection, table, values)

    def purchase(self, ref: str, *parcels: datetime | None) -> str:
        self.add("purchase", ref=ref, customer=1, vendor=2)
        for arrived in parcels:
            self.add("parcel", ref=ref, arrived=arrived)
        return ref

    def complain(self, ref: str, raised: datetime) -> str:
        self.purchase(f"P-{ref}")
        self.add("complaint", ref=ref, purchase=f"P-{ref}", raised=raised)
        self.add("complaint_state", complaint=ref, code=AWAITED)
        return ref

    def pay_back(self, ref: str, begun: datetime) -> str:
        self.add("payback", ref=ref, purchase=self.purchase(f"B-{ref}"), begun=begun, state="open")
        return ref
