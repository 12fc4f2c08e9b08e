"""What the people of the demo do, and when: a script of a front end's plain writes, the same in every run.

It knows nothing of deadlines. Sellers answer in time, late or never; buyers return or forget; parcels get their date
corrected; refunds drag. Pure; imports tables and sample_data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from sqlalchemy import Table

from returnclock.sample_data import GOODS, METHODS, REASONS, amount, currency_of, people, shops
from returnclock.tables.market import DISPUTE_KINDS, buyers, disputes, orders, refunds, sellers

# The market is older than the demo: parcels that came before the first day have return windows that end within it.
DAYS_BEFORE = 13
BUYERS = 90


@dataclass(frozen=True)
class Act:
    """One write of the front end: an INSERT where ``guard`` is None, else an UPDATE of the row while the guard holds.

    guard: what the columns must still be, as a careful front end writes it into its WHERE.
    news: what a spectator is told of it, if anything.
    """

    at: datetime
    table: Table
    id: int
    values: Mapping[str, Any]
    guard: Mapping[str, tuple[str, ...]] | None = None
    news: str = ""


def write_story(start: datetime, days: int) -> list[Act]:
    """All acts up to the end of the last day, in their order; those of the time before come first."""
    return _Story(start, days).acts_in_order()


@dataclass
class _Story:
    start: datetime
    days: int
    random: Random = field(default_factory=lambda: Random(1182))
    acts: list[Act] = field(default_factory=list)
    last_id: dict[str, int] = field(default_factory=dict)

    def acts_in_order(self) -> list[Act]:
        founded = self.start - timedelta(days=DAYS_BEFORE + 10)
        self.shops = [self._inserted(sellers, founded, row) for row in shops()]
        self.people = [self._inserted(buyers, founded, row) for row in people(self.random, BUYERS)]
        for day in range(-DAYS_BEFORE, self.days):
            for _ in range(self.random.randint(5, 9)):
                self._parcel(self.start + timedelta(days=day + self.random.random()))
        for days_before in (9, 8, 7, 6):
            self._refund_that_drags(days_before)
        end = self.start + timedelta(days=self.days)
        # Sorting keeps the order of what happens at the same instant.
        return sorted((act for act in self.acts if act.at <= end), key=lambda act: act.at)

    def _inserted(self, table: Table, at: datetime, values: Mapping[str, Any]) -> Mapping[str, Any]:
        each = self.last_id[table.name] = self.last_id.get(table.name, 0) + 1
        self.acts.append(Act(at, table, each, values))
        return {**values, "id": each}

    def _update(self, at: datetime, table: Table, row: Any, guard: Mapping[str, tuple[str, ...]], news: str = "",
                **values: Any) -> None:  # fmt: skip
        # What happened before the demo is no news.
        self.acts.append(Act(at, table, row["id"], values, guard, news if at > self.start else ""))

    def _later(self, at: datetime, at_least: float, at_most: float) -> datetime:
        return at + timedelta(days=self.random.uniform(at_least, at_most))

    def _order(self, delivered: datetime) -> Mapping[str, Any]:
        buyer, ordered = self.random.choice(self.people), self._later(delivered, -6, -2)
        values = {
            "buyer_id": buyer["id"],
            "seller_id": self.random.choice(self.shops)["id"],
            "number": f"D-{self.last_id.get('orders', 0) + 1001}",
            "category": self.random.choice(GOODS)[0],
            "country": buyer["country"],
            "subdivision": buyer["subdivision"],
            "free_return": self.random.random() < 0.4,
            "ordered_at": ordered,
            "estimated_delivery_at": ordered + timedelta(days=5),
        }
        return self._inserted(orders, ordered, values)

    def _parcel(self, delivered: datetime) -> None:
        """A parcel arrives, its carrier says so up to an hour later, and then one of several things happens."""
        order = self._order(delivered)
        known = delivered + timedelta(minutes=self.random.uniform(1, 55))
        self._update(known, orders, order, {}, delivered_at=delivered)
        chance = self.random.random()
        if chance < 0.38:
            return  # kept and forgotten: the return window ends
        if chance < 0.55:
            self._correct(order, delivered, known)
        elif chance < 0.62:
            self._return(order, at := self._later(known, 1, 14))
            if self.random.random() < 0.8:
                self._refund(order, self._later(at, 1, 4))
        elif chance < 0.67:
            # On the last day or the day after it: the front end refuses whom the clock was quicker than.
            self._return(order, self._later(known, 14.5, 16.5))
        elif known > self.start - timedelta(days=7):
            self._dispute(order, self._later(max(known, self.start - timedelta(days=4)), 0.1, 8))

    def _correct(self, order: Mapping[str, Any], delivered: datetime, known: datetime) -> None:
        corrected = delivered + timedelta(hours=self.random.choice((-20, 18, 26)))
        at = max(corrected, known) + timedelta(hours=self.random.uniform(2, 20))
        news = f"order {order['id']}: the carrier corrects the delivery to {corrected:%d %b %H:%M}, so its days count anew"
        self._update(at, orders, order, {"return_status": ("open",)}, news, delivered_at=corrected)

    def _return(self, order: Mapping[str, Any], at: datetime) -> None:
        self._update(at, orders, order, {"return_status": ("open",)}, return_status="requested")

    # --- disputes

    def _dispute(self, order: Mapping[str, Any], at: datetime) -> None:
        kind = self.random.choice(DISPUTE_KINDS)
        reason = self.random.choice(REASONS[kind])
        values = {"order_id": order["id"], "kind": kind, "reason": reason, "opened_at": at}
        dispute = self._inserted(disputes, at, values)
        if self.random.random() < 0.6:  # the others are rude and forget it; a dispute says the same
            self._update(at, orders, order, {"return_status": ("open",)}, return_status="requested")
        chance = self.random.random()
        if chance < 0.40:
            self._answer(order, dispute, self._later(at, 0.1, 4.9))
        elif chance < 0.70:
            self._silence(dispute, at)
        elif chance < 0.80:
            self._message(dispute, at)
        elif chance < 0.90:
            self._withdraw(dispute, at)
        else:
            self._reopen(dispute, self._later(at, 0.1, 3))

    def _answer(self, order: Mapping[str, Any], dispute: Mapping[str, Any], at: datetime) -> None:
        status = self.random.choice(("awaiting_buyer", "accepted", "accepted", "refused"))
        accepted = at if status == "accepted" else None
        self._update(
            at, disputes, dispute, {"status": ("awaiting_seller",)},
            status=status, seller_replied_at=at, accepted_at=accepted,
        )  # fmt: skip
        if accepted and dispute["kind"] != "exchange_goods":
            self._refund(order, self._later(at, 1, 5), dispute)

    def _silence(self, dispute: Mapping[str, Any], at: datetime) -> None:
        """Nothing for five days; half of the sellers then answer, too late to change anything."""
        if self.random.random() < 0.5:
            replied = self._later(at, 5.1, 8)
            self._update(replied, disputes, dispute, {}, seller_replied_at=replied)
        self._update(self._later(at, 8, 12), disputes, dispute, {"status": ("escalated",)}, status="closed")

    def _message(self, dispute: Mapping[str, Any], at: datetime) -> None:
        """A message leaves it the seller's turn and breaks the silence; what follows it is silence again."""
        replied = self._later(at, 1, 4)
        news = f"dispute {dispute['id']}: the seller writes, which breaks the silence: five more days"
        self._update(replied, disputes, dispute, {"status": ("awaiting_seller",)}, news, seller_replied_at=replied)
        self._silence(dispute, replied)

    def _withdraw(self, dispute: Mapping[str, Any], at: datetime) -> None:
        self._update(self._later(at, 0.5, 4), disputes, dispute, {"status": ("awaiting_seller",)}, status="closed")

    def _reopen(self, dispute: Mapping[str, Any], answered: datetime) -> None:
        self._update(
            answered, disputes, dispute, {"status": ("awaiting_seller",)},
            status="awaiting_buyer", seller_replied_at=answered,
        )  # fmt: skip
        again = self._later(answered, 0.5, 3)
        news = f"dispute {dispute['id']}: the buyer is not content and re-opens it; the seller has five days again"
        self._update(
            again, disputes, dispute, {"status": ("awaiting_buyer",)}, news,
            status="awaiting_seller", awaiting_seller_since=again,
        )  # fmt: skip
        self._silence(dispute, again)

    # --- refunds

    def _refund(
        self, order: Mapping[str, Any], at: datetime, dispute: Mapping[str, Any] | None = None, *, drags: bool = False
    ) -> None:
        currency = currency_of(order["country"])
        values = {
            "order_id": order["id"],
            "dispute_id": dispute["id"] if dispute else None,
            "amount": Decimal(amount(self.random, order["category"], currency)),
            "currency": currency,
            "method": self.random.choice(METHODS),
            "started_at": at,
        }
        refund = self._inserted(refunds, at, values)
        if not drags and self.random.random() < 0.1:
            self._update(self._later(at, 0.2, 2), refunds, refund, {}, status="cancelled")
            return
        slower = 3 if drags or self.random.random() < 0.35 else 1
        inspected = self._later(at, 0.5, 3) if not drags else self._later(at, 1, 2)
        processed = self._later(inspected, 1 * slower, 6 * slower)
        completed = self._later(processed, 0.5 * slower, 3 * slower)
        self._update(inspected, refunds, refund, {}, status="processing", inspected_at=inspected)
        self._update(processed, refunds, refund, {}, status="clearing", processed_at=processed)
        self._update(completed, refunds, refund, {}, status="completed", completed_at=completed)

    def _refund_that_drags(self, days_before: int) -> None:
        """One that is under way when the demo begins, so that some run over within a short one too."""
        at = self.start - timedelta(days=days_before, hours=self.random.uniform(0, 20))
        order = self._order(at - timedelta(days=3))
        self._update(at, orders, order, {}, delivered_at=at - timedelta(days=3), return_status="requested")
        self._refund(order, at, drags=True)
