"""The front ends: each plays the same events in the SQL that its platform writes."""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import inspect, text

from returnclock.tables.clock import CLOCK_TABLES
from tests.database.market import MONDAY, Market, front_end_engine

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "existing-schemas.md"


def mapping_of(title: str) -> str:
    """The worked example of a platform, as the documentation has it."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert section, f"docs/existing-schemas.md has no section {title}"
    (block,) = re.findall(r"^```toml\n(\[market\.orders\].*?)^```", section[1], re.DOTALL | re.MULTILINE)
    return str(block)


class Shop(Market, ABC):
    """A shop whose tables were there first, and returnclock's tasks on them."""

    title: ClassVar[str]
    server: ClassVar[str]
    # What the shop's own column says when its time is over; None where there is no column for it.
    escalated_as: ClassVar[str | None] = None

    def __init__(self, url: str, folder: Path) -> None:
        self._numbers = itertools.count(1)
        with front_end_engine(url).begin() as connection:
            for statement in (HERE / f"{self.title.lower()}.sql").read_text().split(";\n"):
                if statement.strip():
                    connection.execute(text(statement.replace(":", r"\:")))
        from returnclock import schema
        from returnclock.engines import open_engine

        engine = open_engine(url)
        schema.upgrade(engine, mapped=True)
        super().__init__(engine, folder)
        self.configure("")

    def configure(self, toml: str) -> None:
        super().configure(mapping_of(self.title) + "\n" + toml)

    def empty(self) -> None:
        """As if the shop had just opened."""
        self.clock.at, self.mailer.taken = MONDAY, []
        ours = [name for name in CLOCK_TABLES if name != "clock_changes"]
        with self.transaction() as connection:
            if self.dialect == "postgresql":
                tables = ", ".join([*self.tables(), *CLOCK_TABLES])
                connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
            else:
                connection.execute(text("SET foreign_key_checks = 0"))
                for name in (*self.tables(), *ours, "clock_changes"):
                    connection.execute(text(f"DELETE FROM {name}"))

    def tables(self) -> list[str]:
        return re.findall(r"^CREATE TABLE (\w+)", (HERE / f"{self.title.lower()}.sql").read_text(), re.MULTILINE)

    def environ(self) -> dict[str, str]:
        """What a command needs to find this shop."""
        file = str(self.folder / "returnclock.toml")
        return {"DATABASE_URL": self.url, "RETURNCLOCK_DATA": str(self.folder), "RETURNCLOCK_CONFIG": file}

    def rewrite(self) -> None:
        """Save every row as it is, as an ORM does that writes all columns."""
        for table in self.tables():
            columns = [column["name"] for column in inspect(self.engine).get_columns(table)]
            same = ", ".join(f"{self.quoted(column)} = {self.quoted(column)}" for column in columns if column != "id")
            self.sql(f"UPDATE {table} SET {same}")

    def quoted(self, column: str) -> str:
        return self.engine.dialect.identifier_preparer.quote(column)

    def number(self) -> int:
        return next(self._numbers)

    def add(self, table: str, **values: Any) -> None:
        with self.transaction() as connection:
            self.insert_with(connection, table, values)

    def _instant(self, moment: datetime) -> Any:
        naive = moment.astimezone(UTC).replace(tzinfo=None)
        return moment if self.dialect == "postgresql" and not self.keeps_naive else naive

    keeps_naive: ClassVar[bool] = False
    # What `db check` has to say of the mapping in the documentation, beside the triggers.
    known_faults: ClassVar[list[str]] = []

    @abstractmethod
    def order(self, **values: Any) -> Any:
        """An order of a buyer with an address, not delivered."""

    @abstractmethod
    def deliver(self, order: Any, *parcels: datetime | None) -> None:
        """All parcels of an order, each with the moment of its arrival or none yet."""

    @abstractmethod
    def open_dispute(self, order: Any, at: datetime) -> Any:
        """The buyer asks to return something."""

    @abstractmethod
    def say(self, dispute: Any, word: str) -> None:
        """The dispute changes its status, by a word of the contract."""

    @abstractmethod
    def start_refund(self, order: Any, at: datetime) -> Any:
        """A refund begins."""

    @abstractmethod
    def complete(self, refund: Any, at: datetime) -> None:
        """The money has arrived."""

    @abstractmethod
    def status(self, dispute: Any) -> str:
        """What the shop's own column says of a dispute."""

    def value(self, statement: str, **values: Any) -> Any:
        with self.transaction() as connection:
            return connection.execute(text(statement), self.in_its_form(values)).scalar_one()

    def snapshot(self) -> Mapping[str, Any]:
        """Every row of the shop's own tables."""
        found = {}
        with self.transaction() as connection:
            for name in self.tables():
                found[name] = [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY id"))]
        return found


class Spree(Shop):
    title, server, escalated_as, keeps_naive = "Spree", "postgresql", "escalated", True
    _words: ClassVar = {"awaiting_seller": "requested", "accepted": "authorized", "closed": "canceled"}

    def order(self, **values: Any) -> int:
        order, times = (
            self.number(),
            {"created_at": datetime(2026, 2, 1, tzinfo=UTC), "updated_at": datetime(2026, 2, 1, tzinfo=UTC)},
        )
        self.add(
            "spree_stores", id=order, name="Ana", customer_support_email=f"seller{order}@shop.example", code=str(order), **times
        )
        self.add("spree_countries", id=order, iso="US", iso3="USA")
        self.add("spree_addresses", id=order, firstname="Bea", country_id=order, **times)
        addresses = {"bill_address_id": order, "ship_address_id": order}
        row = {
            "number": f"R{order}",
            "email": f"buyer{order}@home.example",
            "store_id": order,
            "currency": "USD",
            "state": "complete",
        }
        self.add("spree_orders", id=order, **row, **addresses, **times)
        return order

    def deliver(self, order: int, *parcels: datetime | None) -> None:
        self.sql("DELETE FROM spree_shipments WHERE order_id = :order_id", order_id=order)
        for moment in parcels:
            state = "shipped" if moment else "ready"
            times = {"created_at": datetime(2026, 2, 1, tzinfo=UTC), "updated_at": datetime(2026, 2, 1, tzinfo=UTC)}
            self.add("spree_shipments", order_id=order, state=state, shipped_at=moment, **times)
        self.add("spree_shipments", order_id=order, state="canceled", shipped_at=None, **times)

    def open_dispute(self, order: int, at: datetime) -> int:
        dispute = self.number()
        self.add("spree_return_authorizations", id=dispute, number=f"RA{dispute}", state="requested", order_id=order,
                 created_at=at, updated_at=at)  # fmt: skip
        return dispute

    def say(self, dispute: int, word: str) -> None:
        self.sql("UPDATE spree_return_authorizations SET state = :state WHERE id = :id", state=self._words[word], id=dispute)

    def start_refund(self, order: int, at: datetime) -> int:
        refund = self.number()
        self.add("spree_reimbursements", id=refund, reimbursement_status="pending", order_id=order, total=12, created_at=at,
                 updated_at=at)  # fmt: skip
        return refund

    def complete(self, refund: int, at: datetime) -> None:
        self.sql(
            "UPDATE spree_reimbursements SET reimbursement_status = 'reimbursed', updated_at = :at WHERE id = :id",
            at=at,
            id=refund,
        )

    def status(self, dispute: int) -> str:
        return str(self.value("SELECT state FROM spree_return_authorizations WHERE id = :id", id=dispute))


class Saleor(Shop):
    title, server = "Saleor", "postgresql"
    _words: ClassVar = {"awaiting_seller": "requested", "accepted": "approved", "refused": "refused", "closed": "withdrawn"}

    def order(self, **values: Any) -> str:
        number = self.number()
        order, long_ago = str(UUID(int=number + (1 << 100))), datetime(2026, 2, 1, tzinfo=UTC)
        self.add("account_address", id=number, first_name="Bea", last_name="Bo", country="US")
        self.add("order_order", id=order, number=number, created_at=long_ago, updated_at=long_ago, status="unfulfilled",
                 language_code="en", billing_address_id=number, shipping_address_id=number, currency="USD",
                 user_email=f"buyer{number}@home.example")  # fmt: skip
        return order

    def deliver(self, order: str, *parcels: datetime | None) -> None:
        self.sql("DELETE FROM order_fulfillment WHERE order_id = CAST(:order_id AS uuid)", order_id=order)
        for number, moment in enumerate(parcels, 1):
            if moment is not None:
                self.add("order_fulfillment", fulfillment_order=number, created_at=moment, status="fulfilled", order_id=order)
        status = "fulfilled" if all(parcels) else "partially fulfilled"
        self.sql("UPDATE order_order SET status = :status WHERE id = CAST(:id AS uuid)", status=status, id=order)

    def open_dispute(self, order: str, at: datetime) -> str:
        said = {"status": "requested", "since": str(int(at.timestamp()))}
        self.sql("UPDATE order_order SET metadata = metadata || jsonb_build_object('return_status', CAST(:status AS text),"
                 " 'return_requested_at', CAST(:since AS text)) WHERE id = CAST(:id AS uuid)", **said, id=order)  # fmt: skip
        return order

    def say(self, dispute: str, word: str) -> None:
        self.sql("UPDATE order_order SET metadata = metadata || jsonb_build_object('return_status', CAST(:status AS text))"
                 " WHERE id = CAST(:id AS uuid)", status=self._words[word], id=dispute)  # fmt: skip

    def start_refund(self, order: str, at: datetime) -> int:
        refund = self.number()
        self.add(
            "order_ordergrantedrefund", id=refund, created_at=at, updated_at=at, amount_value=12, currency="USD", order_id=order
        )
        return refund

    def complete(self, refund: int, at: datetime) -> None:
        self.sql("UPDATE order_ordergrantedrefund SET status = 'success', updated_at = :at WHERE id = :id", at=at, id=refund)

    def status(self, dispute: str) -> str:
        return str(self.value("SELECT metadata->>'return_status' FROM order_order WHERE id = CAST(:id AS uuid)", id=dispute))


class WooCommerce(Shop):
    title, server, escalated_as = "WooCommerce", "mariadb", "wc-return-platform"
    _words: ClassVar = {
        "awaiting_seller": "wc-return-requested",
        "accepted": "wc-return-approved",
        "refused": "wc-return-refused",
        "closed": "wc-completed",
    }

    def order(self, **values: Any) -> int:
        order, long_ago = self.number(), datetime(2026, 2, 1, tzinfo=UTC)
        self.add("wp_wc_orders", id=order, status="wc-processing", type="shop_order", currency="USD", total_amount=12,
                 billing_email=f"buyer{order}@home.example", date_created_gmt=long_ago, date_updated_gmt=long_ago)  # fmt: skip
        for address_type in ("billing", "shipping"):
            self.add("wp_wc_order_addresses", order_id=order, address_type=address_type, first_name="Bea", country="US")
        self.add("wp_wc_order_operational_data", order_id=order, date_completed_gmt=None)
        return order

    def deliver(self, order: int, *parcels: datetime | None) -> None:
        moment = max(parcel for parcel in parcels if parcel) if all(parcels) else None
        self.sql("UPDATE wp_wc_order_operational_data SET date_completed_gmt = :at WHERE order_id = :id", at=moment, id=order)

    def open_dispute(self, order: int, at: datetime) -> int:
        self.say(order, "awaiting_seller")
        self.add("wp_wc_orders_meta", order_id=order, meta_key="_return_requested_at", meta_value=str(int(at.timestamp())))
        return order

    def say(self, dispute: int, word: str) -> None:
        self.sql("UPDATE wp_wc_orders SET status = :status WHERE id = :id", status=self._words[word], id=dispute)

    def start_refund(self, order: int, at: datetime) -> int:
        refund = self.number()
        self.add("wp_wc_orders", id=refund, status="wc-completed", type="shop_order_refund", currency="USD", total_amount=-12,
                 parent_order_id=order, date_created_gmt=at, date_updated_gmt=at)  # fmt: skip
        self.add("wp_wc_orders_meta", order_id=refund, meta_key="_refunded_payment", meta_value="")
        return refund

    def complete(self, refund: int, at: datetime) -> None:
        self.sql(
            "UPDATE wp_wc_orders_meta SET meta_value = '1' WHERE order_id = :id AND meta_key = '_refunded_payment'", id=refund
        )

    def status(self, dispute: int) -> str:
        return str(self.value("SELECT status FROM wp_wc_orders WHERE id = :id", id=dispute))


SHOPS: dict[str, type[Shop]] = {shop.title: shop for shop in (Spree, Saleor, WooCommerce)}
