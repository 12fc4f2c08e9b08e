"""``[market]``: how the shop's own tables stand for those of the contract, and the words of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PARTY = ("id", "name", "email", "locale", "time_zone", "country", "subdivision")
CONTRACT: dict[str, tuple[str, ...]] = {
    "sellers": _PARTY,
    "buyers": _PARTY,
    "orders": (
        *("id", "buyer_id", "seller_id", "number", "category", "country", "subdivision", "free_return", "ordered_at"),
        *("estimated_delivery_at", "delivered_at", "return_status", "return_expired_at"),
    ),
    "disputes": (
        *("id", "order_id", "kind", "reason", "status", "opened_at", "awaiting_seller_since", "seller_replied_at"),
        *("accepted_at", "return_shipped_at", "escalated_at", "escalated_by"),
    ),
    "refunds": (
        *("id", "order_id", "dispute_id", "amount", "currency", "method", "status", "started_at", "inspected_at"),
        *("processed_at", "completed_at", "late_since", "late_stage"),
    ),
}
WORDS: dict[str, tuple[str, ...]] = {
    "orders.return_status": ("open", "requested", "expired"),
    "disputes.kind": ("return_goods", "refund_only", "exchange_goods"),
    "disputes.status": ("awaiting_seller", "awaiting_buyer", "accepted", "refused", "escalated", "closed"),
    "disputes.escalated_by": ("buyer", "seller", "clock"),
    "refunds.status": ("inspecting", "processing", "clearing", "completed", "cancelled"),
    "refunds.late_stage": ("inspecting", "processing", "clearing"),
}
OURS = {
    "orders": ("return_status", "return_expired_at"),
    "disputes": ("status", "escalated_at", "escalated_by"),
    "refunds": ("late_since", "late_stage"),
}
NEEDED = {
    "orders": ("delivered_at",),
    "disputes": ("order_id", "status", "opened_at"),
    "refunds": ("order_id", "status", "started_at"),
    "sellers": ("email",),
    "buyers": ("email",),
}
TABLE_KEYS = ("table", "key", "key_type", "key_collation", "where", "writes", "touches", "columns")
COLUMN_KEYS = (
    *("column", "value", "sql", "values", "otherwise", "table", "on", "where", "take", "locks", "time_zone", "form"),
)
KEY_TYPES = ("integer", "text", "uuid")
TAKES = ("one", "latest", "latest_known", "earliest")
FORMS = ("instant", "epoch")
CHANGES = ("triggers", "reconcile")

Scalar = str | int | bool


@dataclass(frozen=True)
class ColumnMapping:
    """What stands for one column of the contract: a column, a constant, an SQL expression, or a column of another table.

    values: for each word of the contract the shop's values, the first of which is written. otherwise: the word for all others.
    on: column of the other table -> column of this one, or a mapping that reads it from elsewhere. where: further conditions.
    take: which row of several. locks: whether a sweep locks those rows. time_zone: of a naive date. form: of a date.
    """

    column: str | None = None
    value: Scalar | None = None
    sql: str | None = None
    values: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    otherwise: str | None = None
    table: str | None = None
    on: Mapping[str, str | ColumnMapping] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    take: str = "one"
    locks: bool = True
    time_zone: str | None = None
    form: str = "instant"


@dataclass(frozen=True)
class TableMapping:
    """Which table of the shop stands for one of the contract; ``table`` None is a party whose columns are all constants."""

    table: str | None = None
    key: str = "id"
    key_type: str = "integer"
    key_collation: str | None = None
    where: Mapping[str, Any] | str = field(default_factory=dict)
    writes: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()
    columns: Mapping[str, ColumnMapping] = field(default_factory=dict)


@dataclass(frozen=True)
class MarketSettings:
    """The shop's own tables; none where returnclock's are used. ``changes``: what tells of the front end's changes."""

    tables: Mapping[str, TableMapping] = field(default_factory=dict)
    time_zone: str | None = None
    changes: str = "triggers"
