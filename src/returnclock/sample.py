"""A sample marketplace to look at: written as a front end would write it, into an empty database only. Imports wiring.

Everything hangs on the database's present instant, so that a spectator sees each promise kept within seconds: some rows
are due already, some fall due within the next minute, most in the days to come, and a few are wrong on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from returnclock.calendars import zone
from returnclock.database import writing
from returnclock.facts import calendar_or_default
from returnclock.policy import Reckoning, due_at
from returnclock.rulebook import Rulebook
from returnclock.sample_data import GOODS, METHODS, REASONS, amount, currency_of, people, shops
from returnclock.tables.market import DISPUTE_KINDS, buyers, disputes, orders, refunds, sellers
from returnclock.wiring import Wiring

BUYERS = 120
# Falling due while somebody watches: the first after the worker has started, then one every few seconds.
SOON_S = range(3, 46, 3)
# A reminder that is past when its row is stamped is never sent, so these leave the worker time to start.
REMINDED_S = range(4, 57, 4)

Row = dict[str, Any]


def seed(wiring: Wiring) -> dict[str, int]:
    """Fill an empty market, in one transaction; the same rows every time but for their dates.

    Returns:
        how many rows were written into each table; where there are orders already, nothing is written and the answer is
        ``{"orders_already_there": n}``.
    """
    with writing(wiring.engine) as connection:
        there = int(connection.execute(select(func.count()).select_from(orders)).scalar_one())
        if there:
            return {"orders_already_there": there}
        return _Market(connection, wiring.rulebook, wiring.clock.now(connection)).fill()


@dataclass
class _Market:
    """One seeding: where it writes, from which instant it reckons, and what it has written."""

    connection: Connection
    book: Rulebook
    now: datetime
    random: Random = field(default_factory=lambda: Random(20260523))
    written: dict[str, int] = field(default_factory=dict)

    def fill(self) -> dict[str, int]:
        self.shops = self._insert(sellers, shops())
        self.people = self._insert(buyers, people(self.random, BUYERS))
        in_dispute = self._insert(orders, [self._disputed() for _ in range(120)])
        self._dispute(in_dispute)
        self._insert(orders, [self._order(0, delivered=self._ago(16, 17.5)) for _ in range(6)])
        self._insert(orders, [self._order(0, delivered=self._ago(0.1, 13.5)) for _ in range(60)])
        self._insert(orders, [self._order(self.random.uniform(0.1, 5)) for _ in range(30)])
        returned = [self._order(0, delivered=self._ago(29, 40), return_status="requested") for _ in range(64)]
        self._refund(self._insert(orders, returned) + in_dispute[-26:])
        self._insert(orders, [self._expired() for _ in range(20)])
        self._mistakes()
        return self.written

    def _insert(self, table: Table, rows: Sequence[Row]) -> list[Row]:
        """Write the rows and give them back with the ids that the database gave them."""
        inserting = insert(table).returning(table.c.id, sort_by_parameter_order=True)
        ids = self.connection.execute(inserting, list(rows)).scalars().all()
        self.written[table.name] = self.written.get(table.name, 0) + len(ids)
        return [row | {"id": each} for row, each in zip(rows, ids, strict=True)]

    def _ago(self, at_least: float, at_most: float) -> datetime:
        return self.now - timedelta(days=self.random.uniform(at_least, at_most))

    # --- orders

    def _order(self, days_old: float, *, delivered: datetime | None = None, **more: Any) -> Row:
        buyer, seller = self.random.choice(self.people), self.random.choice(self.shops)
        ordered = (delivered or self.now) - timedelta(days=self.random.uniform(2, 6) if delivered else days_old)
        return {
            "buyer_id": buyer["id"],
            "seller_id": seller["id"],
            "number": f"A-{self.random.randrange(100_000, 1_000_000)}",
            "category": self.random.choice(GOODS)[0],
            "country": buyer["country"],
            "subdivision": buyer["subdivision"],
            "free_return": self.random.random() < 0.4,
            "ordered_at": ordered,
            "estimated_delivery_at": ordered + timedelta(days=5),
            "delivered_at": delivered,
            "return_status": "open",
            "return_expired_at": None,
        } | more

    def _disputed(self) -> Row:
        return self._order(0, delivered=self._ago(10, 14), return_status=self.random.choice(("requested", "open")))

    def _expired(self) -> Row:
        delivered = self._ago(20, 60)
        expired = delivered + timedelta(days=16)
        return self._order(0, delivered=delivered, return_status="expired", return_expired_at=expired)

    # --- disputes

    def _dispute(self, in_dispute: Sequence[Row]) -> None:
        """One dispute for each order; those that are settled come last, because refunds come of them."""
        waiting = [self._due_in(-self.random.uniform(3600, 90_000)) for _ in range(5)]
        waiting += [self._due_in(seconds) for seconds in SOON_S]
        waiting += [self._reminded_in(seconds) for seconds in REMINDED_S]
        waiting += [self._waiting(each) for each in range(20)]
        turns = [self._turn(status) for status in ("awaiting_buyer", "refused") for _ in range(12)]
        turns += [self._escalated(by) for by in ("buyer", "buyer", "clock", "seller") * 4]
        turns += [self._turn(status) for status in ("accepted", "closed") for _ in range(13)]
        stories = [*waiting, *turns]
        rows = [
            self._opened(order, kind) | story(order)
            for order, story, kind in zip(in_dispute, stories, DISPUTE_KINDS * len(stories), strict=False)
        ]
        for order, row in zip(in_dispute, self._insert(disputes, rows), strict=True):
            order["dispute_id"] = row["id"]

    def _opened(self, order: Row, kind: str) -> Row:
        return {
            "order_id": order["id"],
            "kind": kind,
            "reason": self.random.choice(REASONS[kind]),
            "opened_at": order["delivered_at"] + timedelta(hours=self.random.uniform(2, 40)),
            "status": "awaiting_seller",
        } | dict.fromkeys(("awaiting_seller_since", "seller_replied_at", "accepted_at", "escalated_at", "escalated_by"))

    def _due_in(self, seconds: float) -> Callable[[Row], Row]:
        due = self.now + timedelta(seconds=seconds)
        return lambda order: {"opened_at": self._start(order, due, lambda reckoned: reckoned.due_at)}

    def _reminded_in(self, seconds: float) -> Callable[[Row], Row]:
        moment = self.now + timedelta(seconds=seconds)
        chosen = -1 if self.random.random() < 0.5 else 0

        def reminder(reckoned: Reckoning) -> datetime:
            return reckoned.reminders[chosen] if reckoned.reminders else reckoned.due_at

        return lambda order: {"opened_at": self._start(order, moment, reminder)}

    def _start(self, order: Row, wanted: datetime, of: Callable[[Reckoning], datetime]) -> datetime:
        """From when a seller must be silent for the moment ``of`` the reckoning to be the one that is wanted.

        Found by trying with the policy itself, whatever the settings say. A deadline that ends with a day has no such
        start; the nearest try is then taken, and the row falls due at that midnight.
        """
        policy = self.book.rules["seller_response"].policy_for(order | {"seller": order["seller_id"]})
        seller = next(shop for shop in self.shops if shop["id"] == order["seller_id"])
        calendar = calendar_or_default(self.book.calendars, order["country"], order["subdivision"])
        start = wanted - timedelta(seconds=policy.period.rough_seconds)
        for _ in range(4):
            start += wanted - of(due_at(start, policy, calendar, zone(seller["time_zone"])))
        return start

    def _waiting(self, number: int) -> Callable[[Row], Row]:
        since = self._ago(0.05, 4.5)
        if number % 4 == 0:  # a message that left it the seller's turn
            return lambda order: {"seller_replied_at": since}
        if number % 4 == 1:  # the buyer answered, so that it is the seller's turn again
            return lambda order: {"seller_replied_at": since - timedelta(hours=9), "awaiting_seller_since": since}
        return lambda order: {"opened_at": since}

    def _turn(self, status: str) -> Callable[[Row], Row]:
        replied = self._ago(6, 7.5)
        accepted = replied if status in ("accepted", "closed") else None
        return lambda order: {"status": status, "seller_replied_at": replied, "accepted_at": accepted}

    def _escalated(self, by: str) -> Callable[[Row], Row]:
        at = self._ago(0.5, 3)
        return lambda order: {"status": "escalated", "escalated_at": at, "escalated_by": by}

    # --- refunds

    def _refund(self, returned: Sequence[Row]) -> None:
        """One refund for each order; the youngest come last, because those orders were disputed a week ago."""
        stories = [self._late(status) for status in ("processing", "clearing", "processing", "inspecting")]
        stories += [self._refunding("completed", 14) for _ in range(32)]
        stories += [self._refunding("cancelled", 14) for _ in range(8)]
        stories += [self._refunding("clearing", 7) for _ in range(12)]
        stories += [self._refunding("processing", 5.5) for _ in range(18)]
        stories += [self._refunding("inspecting", 2) for _ in range(16)]
        rows = []
        for order, story in zip(returned, stories, strict=True):
            currency = currency_of(order["country"])
            rows.append(
                {
                    "order_id": order["id"],
                    "dispute_id": order.get("dispute_id"),
                    "amount": Decimal(amount(self.random, order["category"], currency)),
                    "currency": currency,
                    "method": self.random.choice(METHODS),
                }
                | story
            )
        self._insert(refunds, rows)

    def _late(self, status: str) -> Row:
        return self._stages(status, self._ago(22, 27), timedelta(days=1.5))

    def _refunding(self, status: str, days: float) -> Row:
        started = self._ago(days * 0.2, days)
        return self._stages(status, started, (self.now - started) / 4)

    def _stages(self, status: str, started: datetime, each: timedelta) -> Row:
        """The dates of a refund that has come as far as its status says; ``each`` is how long a finished stage took."""
        done = {"processing": 1, "clearing": 2, "completed": 3}.get(status, 0)
        moments = [started + each * (number + 1) if number < done else None for number in range(3)]
        return {"status": status, "started_at": started} | dict(
            zip(("inspected_at", "processed_at", "completed_at"), moments, strict=True)
        )

    # --- what a front end gets wrong

    def _mistakes(self) -> None:
        """Rows that ``returnclock problems`` explains; each is wrong in one way, and none stops the rows beside it."""
        shop, person = dict(self.shops[0]), dict(self.people[0])
        del shop["id"], person["id"]
        shop = self._insert(sellers, [shop | {"name": "Kiosk am Eck", "time_zone": "Europe/Berln"}])[0]
        person = self._insert(buyers, [person | {"email": "hello(at)post.example"}])[0]
        long_ago = self.now - timedelta(days=50)
        wrong = [
            self._order(0, delivered=self._ago(1, 2)) | {"seller_id": shop["id"], "buyer_id": person["id"]},
            self._order(0, delivered=self.now + timedelta(days=3)),
            self._order(0, delivered=self._ago(1, 2), country="XZ", subdivision=None),
            self._order(60) | {"estimated_delivery_at": long_ago},
        ]
        order = self._insert(orders, wrong)[0]
        refund = self._stages("inspecting", self.now, timedelta())
        money = {"amount": Decimal("39.90"), "currency": "EURO", "method": "card"}
        self._insert(refunds, [refund | money | {"order_id": order["id"], "dispute_id": None}])
