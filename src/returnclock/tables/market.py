"""The market's tables: a front end owns them, returnclock writes only the columns whose comment begins with ◆.

Only the id and the foreign keys are needed to insert a row; every other column has a default or may be null.
Imports nothing of ours but the types beside it.
"""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, MetaData, Numeric, Table, text

from returnclock.tables.types import BigId, Instant, Key, LongText, present

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

DISPUTE_KINDS = ("return_goods", "refund_only", "exchange_goods")
DISPUTE_STATUSES = ("awaiting_seller", "awaiting_buyer", "accepted", "refused", "escalated", "closed")
RETURN_STATUSES = ("open", "requested", "expired")
REFUND_STATUSES = ("inspecting", "processing", "clearing", "completed", "cancelled")
ESCALATED_BY = ("buyer", "seller", "clock")


def one_of(name: str, column: str, values: tuple[str, ...]) -> CheckConstraint:
    """A constraint that refuses a word that is not among the known ones."""
    return CheckConstraint(sqlalchemy.column(column, Key).in_(values), name=name)


def _party(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
        Column("name", LongText, comment="How notices address the party; changes when the party renames itself."),
        Column("email", LongText, comment="Where notices go; read at the moment of each delivery."),
        Column("locale", Key, server_default="en", comment="Language of notices, such as en or pt-BR."),
        Column("time_zone", Key, server_default="UTC", comment="IANA zone in which this party's days are counted."),
        Column("country", Key, comment="ISO 3166-1 alpha-2; for policies that count by the party's calendar."),
        Column("subdivision", Key, comment="ISO 3166-2 part, such as BY; for policies with the party's calendar."),
    )


sellers = _party("sellers")
buyers = _party("buyers")

orders = Table(
    "orders",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("buyer_id", BigId, ForeignKey("buyers.id"), comment="Who bought; set at insert."),
    Column("seller_id", BigId, ForeignKey("sellers.id"), comment="Who sold; set at insert."),
    Column("number", LongText, comment="What people call the order; the id where it is null."),
    Column("category", Key, comment="Chooses the policy's override; set at insert."),
    Column("country", Key, comment="Chooses calendar and override (ISO 3166-1 alpha-2); set at insert."),
    Column("subdivision", Key, comment="Narrows the calendar (ISO 3166-2 part, such as BY); set at insert."),
    Column(
        "free_return",
        Boolean(create_constraint=False),
        server_default=text("false"),
        comment="Whether the shop pays the way back; chooses the wording of notices.",
    ),
    Column("ordered_at", Instant, server_default=present(), comment="When it was ordered; set at insert."),
    Column("estimated_delivery_at", Instant, comment="The carrier's estimate; starts no clock."),
    Column("delivered_at", Instant, comment="The actual delivery, which opens the return window; corrected if wrong."),
    Column(
        "return_status",
        Key,
        nullable=False,
        server_default="open",
        comment="◆ open; the front end sets requested, returnclock sets expired when the return window ends.",
    ),
    Column("return_expired_at", Instant, comment="◆ When returnclock set return_status to expired."),
    one_of("return_status", "return_status", RETURN_STATUSES),
)

disputes = Table(
    "disputes",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("order_id", BigId, ForeignKey("orders.id"), comment="The order in dispute; set at insert."),
    Column("kind", Key, nullable=False, server_default="return_goods", comment="What the buyer asks for; set at insert."),
    Column("reason", LongText, comment="The buyer's words; quoted in notices to the seller."),
    Column(
        "status",
        Key,
        nullable=False,
        server_default="awaiting_seller",
        comment="◆ Set by the front end at every turn of the case; returnclock sets escalated, or closed when unsent.",
    ),
    Column("opened_at", Instant, server_default=present(), comment="When the buyer opened it; set at insert."),
    Column("awaiting_seller_since", Instant, comment="When the seller's turn began; opened_at where null. Set at re-opening."),
    Column("seller_replied_at", Instant, comment="The seller's latest message; set at each, it breaks the silence."),
    Column("accepted_at", Instant, comment="When the seller accepted; starts the buyer's time to send the goods back."),
    Column("return_shipped_at", Instant, comment="When the buyer sent the goods back; stops that time."),
    Column("escalated_at", Instant, comment="◆ When status became escalated."),
    Column("escalated_by", Key, comment="◆ Who escalated: buyer, seller, or clock when returnclock did."),
    one_of("kind", "kind", DISPUTE_KINDS),
    one_of("status", "status", DISPUTE_STATUSES),
    one_of("escalated_by", "escalated_by", ESCALATED_BY),
)
Index("ix_disputes_order_id", disputes.c.order_id)

refunds = Table(
    "refunds",
    metadata,
    Column("id", BigId, primary_key=True, comment="Set at insert, never changes."),
    Column("order_id", BigId, ForeignKey("orders.id"), comment="The order that is refunded; set at insert."),
    Column("dispute_id", BigId, ForeignKey("disputes.id"), comment="The dispute that led to it, if one did."),
    Column("amount", Numeric(18, 4), comment="How much, in units of the currency; set at insert."),
    Column("currency", Key, comment="ISO 4217 code of the amount; set at insert."),
    Column("method", Key, comment="How it is paid back, such as card, bank_transfer, paypal; words the notices."),
    Column("status", Key, nullable=False, server_default="inspecting", comment="Set by the front end as the refund moves on."),
    Column("started_at", Instant, server_default=present(), comment="When the refund was started; set at insert."),
    Column("inspected_at", Instant, comment="When inspecting ended and processing began."),
    Column("processed_at", Instant, comment="When processing ended and clearing began."),
    Column("completed_at", Instant, comment="When the money arrived."),
    Column("late_since", Instant, comment="◆ Since when the refund is late; cleared if it is cancelled."),
    Column("late_stage", Key, comment="◆ The latest stage that overran; cleared if the refund is cancelled."),
    one_of("status", "status", REFUND_STATUSES),
    one_of("late_stage", "late_stage", REFUND_STATUSES[:3]),
)
Index("ix_refunds_order_id", refunds.c.order_id)

MARKET_TABLES: dict[str, Table] = {t.name: t for t in (sellers, buyers, orders, disputes, refunds)}
