"""The first tables: the market's five and returnclock's own.

Deadlines affected: none, there were none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from returnclock.migrations import market_is_ours
from returnclock.tables.types import BigId, Document, Instant, Key, LongText, present, present_second

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    if market_is_ours():
        _create_market()
    _create_clock()


def _create_market() -> None:
    op.create_table(
        "sellers",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column(
            "name", LongText, nullable=True, comment="How notices address the party; changes when the party renames itself."
        ),
        sa.Column("email", LongText, nullable=True, comment="Where notices go; read at the moment of each delivery."),
        sa.Column("locale", Key, server_default="en", nullable=True, comment="Language of notices, such as en or pt-BR."),
        sa.Column(
            "time_zone", Key, server_default="UTC", nullable=True, comment="IANA zone in which this party's days are counted."
        ),
        sa.Column(
            "country", Key, nullable=True, comment="ISO 3166-1 alpha-2; for policies that count by the party's calendar."
        ),
        sa.Column(
            "subdivision", Key, nullable=True, comment="ISO 3166-2 part, such as BY; for policies with the party's calendar."
        ),
        sa.PrimaryKeyConstraint("id", name=("pk_sellers")),
    )
    op.create_table(
        "buyers",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column(
            "name", LongText, nullable=True, comment="How notices address the party; changes when the party renames itself."
        ),
        sa.Column("email", LongText, nullable=True, comment="Where notices go; read at the moment of each delivery."),
        sa.Column("locale", Key, server_default="en", nullable=True, comment="Language of notices, such as en or pt-BR."),
        sa.Column(
            "time_zone", Key, server_default="UTC", nullable=True, comment="IANA zone in which this party's days are counted."
        ),
        sa.Column(
            "country", Key, nullable=True, comment="ISO 3166-1 alpha-2; for policies that count by the party's calendar."
        ),
        sa.Column(
            "subdivision", Key, nullable=True, comment="ISO 3166-2 part, such as BY; for policies with the party's calendar."
        ),
        sa.PrimaryKeyConstraint("id", name=("pk_buyers")),
    )
    op.create_table(
        "orders",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("buyer_id", BigId, nullable=True, comment="Who bought; set at insert."),
        sa.Column("seller_id", BigId, nullable=True, comment="Who sold; set at insert."),
        sa.Column("number", LongText, nullable=True, comment="What people call the order; the id where it is null."),
        sa.Column("category", Key, nullable=True, comment="Chooses the policy's override; set at insert."),
        sa.Column("country", Key, nullable=True, comment="Chooses calendar and override (ISO 3166-1 alpha-2); set at insert."),
        sa.Column(
            "subdivision", Key, nullable=True, comment="Narrows the calendar (ISO 3166-2 part, such as BY); set at insert."
        ),
        sa.Column(
            "free_return",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=True,
            comment="Whether the shop pays the way back; chooses the wording of notices.",
        ),
        sa.Column(
            "ordered_at", Instant, server_default=present(), nullable=True, comment="When it was ordered; set at insert."
        ),
        sa.Column("estimated_delivery_at", Instant, nullable=True, comment="The carrier's estimate; starts no clock."),
        sa.Column(
            "delivered_at",
            Instant,
            nullable=True,
            comment="The actual delivery, which opens the return window; corrected if wrong.",
        ),
        sa.Column(
            "return_status",
            Key,
            server_default="open",
            nullable=False,
            comment="◆ open; the front end sets requested, returnclock sets expired when the return window ends.",
        ),
        sa.Column("return_expired_at", Instant, nullable=True, comment="◆ When returnclock set return_status to expired."),
        sa.CheckConstraint("return_status IN ('open', 'requested', 'expired')", name=("ck_orders_return_status")),
        sa.ForeignKeyConstraint(["buyer_id"], ["buyers.id"], name=("fk_orders_buyer_id")),
        sa.ForeignKeyConstraint(["seller_id"], ["sellers.id"], name=("fk_orders_seller_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_orders")),
    )
    op.create_table(
        "disputes",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("order_id", BigId, nullable=True, comment="The order in dispute; set at insert."),
        sa.Column(
            "kind", Key, server_default="return_goods", nullable=False, comment="What the buyer asks for; set at insert."
        ),
        sa.Column("reason", LongText, nullable=True, comment="The buyer's words; quoted in notices to the seller."),
        sa.Column(
            "status",
            Key,
            server_default="awaiting_seller",
            nullable=False,
            comment="◆ Set by the front end at every turn of the case; returnclock sets escalated, or closed when unsent.",
        ),
        sa.Column(
            "opened_at", Instant, server_default=present(), nullable=True, comment="When the buyer opened it; set at insert."
        ),
        sa.Column(
            "awaiting_seller_since",
            Instant,
            nullable=True,
            comment="When the seller's turn began; opened_at where null. Set at re-opening.",
        ),
        sa.Column(
            "seller_replied_at",
            Instant,
            nullable=True,
            comment="The seller's latest message; set at each, it breaks the silence.",
        ),
        sa.Column(
            "accepted_at",
            Instant,
            nullable=True,
            comment="When the seller accepted; starts the buyer's time to send the goods back.",
        ),
        sa.Column("return_shipped_at", Instant, nullable=True, comment="When the buyer sent the goods back; stops that time."),
        sa.Column("escalated_at", Instant, nullable=True, comment="◆ When status became escalated."),
        sa.Column("escalated_by", Key, nullable=True, comment="◆ Who escalated: buyer, seller, or clock when returnclock did."),
        sa.CheckConstraint("escalated_by IN ('buyer', 'seller', 'clock')", name=("ck_disputes_escalated_by")),
        sa.CheckConstraint("kind IN ('return_goods', 'refund_only', 'exchange_goods')", name=("ck_disputes_kind")),
        sa.CheckConstraint(
            "status IN ('awaiting_seller', 'awaiting_buyer', 'accepted', 'refused', 'escalated', 'closed')",
            name=("ck_disputes_status"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=("fk_disputes_order_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_disputes")),
    )
    op.create_index("ix_disputes_order_id", "disputes", ["order_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("order_id", BigId, nullable=True, comment="The order that is refunded; set at insert."),
        sa.Column("dispute_id", BigId, nullable=True, comment="The dispute that led to it, if one did."),
        sa.Column(
            "amount",
            sa.Numeric(precision=18, scale=4),
            nullable=True,
            comment="How much, in units of the currency; set at insert.",
        ),
        sa.Column("currency", Key, nullable=True, comment="ISO 4217 code of the amount; set at insert."),
        sa.Column(
            "method", Key, nullable=True, comment="How it is paid back, such as card, bank_transfer, paypal; words the notices."
        ),
        sa.Column(
            "status", Key, server_default="inspecting", nullable=False, comment="Set by the front end as the refund moves on."
        ),
        sa.Column(
            "started_at",
            Instant,
            server_default=present(),
            nullable=True,
            comment="When the refund was started; set at insert.",
        ),
        sa.Column("inspected_at", Instant, nullable=True, comment="When inspecting ended and processing began."),
        sa.Column("processed_at", Instant, nullable=True, comment="When processing ended and clearing began."),
        sa.Column("completed_at", Instant, nullable=True, comment="When the money arrived."),
        sa.Column("late_since", Instant, nullable=True, comment="◆ Since when the refund is late; cleared if it is cancelled."),
        sa.Column(
            "late_stage", Key, nullable=True, comment="◆ The latest stage that overran; cleared if the refund is cancelled."
        ),
        sa.CheckConstraint("late_stage IN ('inspecting', 'processing', 'clearing')", name=("ck_refunds_late_stage")),
        sa.CheckConstraint(
            "status IN ('inspecting', 'processing', 'clearing', 'completed', 'cancelled')", name=("ck_refunds_status")
        ),
        sa.ForeignKeyConstraint(["dispute_id"], ["disputes.id"], name=("fk_refunds_dispute_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=("fk_refunds_order_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_refunds")),
    )
    op.create_index("ix_refunds_order_id", "refunds", ["order_id"], unique=False)


def _create_clock() -> None:
    op.create_table(
        "clock_policies",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("kind", Key, nullable=False, comment="The kind of deadline; set at insert."),
        sa.Column("digest", Key, nullable=False, comment="Digest of the definition; set at insert."),
        sa.Column("definition", Document, nullable=False, comment="The policy as it was when first used; never changes."),
        sa.Column("created_at", Instant, server_default=present(), nullable=False, comment="When it was first used."),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_policies")),
        sa.UniqueConstraint("kind", "digest", name=("uq_clock_policies_kind_digest")),
    )
    op.create_table(
        "clock_deadlines",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("kind", Key, nullable=False, comment="The kind of deadline; set at insert."),
        sa.Column("subject_id", Key, nullable=False, comment="The id of the row that it binds, as text; set at insert."),
        sa.Column("party", Key, nullable=False, comment="Who must act: seller, buyer or platform; set at insert."),
        sa.Column("starts_at", Instant, nullable=False, comment="From when days are counted; a new start is a new row."),
        sa.Column("promised_at", Instant, nullable=False, comment="What people are told; moved only by an intervention."),
        sa.Column(
            "due_at", Instant, nullable=False, comment="When it takes effect (promised_at + grace); moves with promised_at."
        ),
        sa.Column(
            "remind_at", Instant, nullable=True, comment="The next reminder; moved on as each is queued, null after the last."
        ),
        sa.Column("state", Key, server_default="running", nullable=False, comment="running until held, met, fired or void."),
        sa.Column("policy_id", BigId, nullable=False, comment="The policy that it keeps."),
        sa.Column("fired_at", Instant, nullable=True, comment="When it took effect; null unless state is fired."),
        sa.Column("settled_at", Instant, nullable=True, comment="When it stopped running: met, fired or void."),
        sa.Column(
            "round", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="How often it was re-opened in place."
        ),
        sa.Column("schedule", Document, nullable=False, comment="Zone, calendar, last day and reminders, as counted."),
        sa.Column(
            "stamped_at",
            Instant,
            nullable=False,
            comment="When promised_at was given; set anew with each date that is warned of.",
        ),
        sa.CheckConstraint("state IN ('running', 'held', 'met', 'fired', 'void')", name=("ck_clock_deadlines_state")),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_deadlines")),
        sa.UniqueConstraint("subject_id", "kind", "starts_at", name=("uq_clock_deadlines_subject_id_kind_starts_at")),
    )
    op.create_index(
        "ix_clock_deadlines_due",
        "clock_deadlines",
        ["kind", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_clock_deadlines_remind",
        "clock_deadlines",
        ["kind", "remind_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'running' AND remind_at IS NOT NULL"),
        sqlite_where=sa.text("state = 'running' AND remind_at IS NOT NULL"),
    )
    op.create_table(
        "clock_events",
        sa.Column("id", BigId, nullable=False, comment="Grows; follow the feed by it. Never changes."),
        sa.Column("deadline_id", BigId, nullable=True, comment="The deadline concerned. Never changes."),
        sa.Column("kind", Key, nullable=True, comment="Its kind. Never changes."),
        sa.Column("subject_id", Key, nullable=True, comment="Its subject's id as text. Never changes."),
        sa.Column("event", Key, nullable=False, comment="What happened, as subject:action. Never changes."),
        sa.Column("at", Instant, nullable=False, comment="When, by the database's clock. Never changes."),
        sa.Column("actor", Key, nullable=False, comment="Who: clock, a login, a party. Never changes."),
        sa.Column("run_id", BigId, nullable=True, comment="The run in clock_runs that did it. Never changes."),
        sa.Column(
            "detail",
            Document,
            nullable=True,
            comment="What else there is to say, such as each step of the counting. Never changes.",
        ),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_events")),
    )
    op.create_index("ix_clock_events_deadline", "clock_events", ["deadline_id"], unique=False)
    op.create_index("ix_clock_events_subject", "clock_events", ["kind", "subject_id"], unique=False)
    op.create_table(
        "clock_outbox",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("key", Key, nullable=False, comment="deadline.round.notice.ordinal.party: one notice, once."),
        sa.Column("kind", Key, nullable=False, comment="The kind of deadline; set at insert."),
        sa.Column("deadline_id", BigId, nullable=False, comment="Set at insert."),
        sa.Column("notice", Key, nullable=False, comment="Which of the kind's notices; set at insert."),
        sa.Column("party", Key, nullable=False, comment="Whom it is for: seller, buyer or platform; set at insert."),
        sa.Column("recipient", LongText, nullable=True, comment="The address that it went to; set at delivery."),
        sa.Column(
            "state", Key, server_default="queued", nullable=False, comment="queued, sending, then sent, dead or suppressed."
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="Counted up at each attempt."),
        sa.Column("queued_at", Instant, nullable=False, comment="When it was queued; set anew by a requeue."),
        sa.Column(
            "next_attempt_at",
            Instant,
            nullable=True,
            comment="Not before this; moved on when the server defers it, null at the end.",
        ),
        sa.Column("leased_until", Instant, nullable=True, comment="Until when one worker has it in hand; null otherwise."),
        sa.Column("leased_by", Key, nullable=True, comment="Which worker has it in hand; null otherwise."),
        sa.Column("sent_at", Instant, nullable=True, comment="When the mail server took it."),
        sa.Column(
            "message_id", Key, nullable=True, comment="RFC 5322 Message-ID, derived from the key; the same at every attempt."
        ),
        sa.Column(
            "error", LongText, nullable=True, comment="Why it is late, dead or suppressed; null once it is sent plainly."
        ),
        sa.CheckConstraint("state IN ('queued', 'sending', 'sent', 'dead', 'suppressed')", name=("ck_clock_outbox_state")),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_outbox")),
        sa.UniqueConstraint("key", name=("uq_clock_outbox_key")),
    )
    op.create_index("ix_clock_outbox_deadline", "clock_outbox", ["deadline_id"], unique=False)
    op.create_index(
        "ix_clock_outbox_next",
        "clock_outbox",
        ["next_attempt_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'sending')"),
        sqlite_where=sa.text("state IN ('queued', 'sending')"),
    )
    op.create_table(
        "clock_runs",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("task", Key, nullable=False, comment="Which task ran; set at insert."),
        sa.Column("trigger", Key, nullable=False, comment="beat, manual (a Celery call) or cli; set at insert."),
        sa.Column("actor", Key, nullable=False, comment="Who asked for it; set at insert."),
        sa.Column("host", Key, nullable=True, comment="Where it ran; set at insert."),
        sa.Column("celery_task_id", Key, nullable=True, comment="Celery's id of the run; null when it ran in the command."),
        sa.Column("started_at", Instant, nullable=False, comment="Set at insert."),
        sa.Column(
            "finished_at",
            Instant,
            nullable=True,
            comment="Set when it ended; null while running or when its worker was killed.",
        ),
        sa.Column("state", Key, server_default="running", nullable=False, comment="running, then succeeded or failed."),
        sa.Column("idle", sa.Boolean(), nullable=True, comment="Whether it succeeded with nothing to do; set when it ended."),
        sa.Column("result", Document, nullable=True, comment="The result object; set when it ended."),
        sa.Column("error", LongText, nullable=True, comment="What went wrong; set when it failed."),
        sa.CheckConstraint("state IN ('running', 'succeeded', 'failed')", name=("ck_clock_runs_state")),
        sa.CheckConstraint(sa.column("trigger", Key).in_(("beat", "manual", "cli")), name=("ck_clock_runs_trigger")),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_runs")),
    )
    op.create_index("ix_clock_runs_task", "clock_runs", ["task", "started_at"], unique=False)
    op.create_table(
        "clock_problems",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("table_name", Key, nullable=False, comment="The table of the row to be mended; set at insert."),
        sa.Column("subject_id", Key, nullable=False, comment="The id of the row to be mended, as text; set at insert."),
        sa.Column(
            "kind", Key, server_default="", nullable=False, comment="The kind of deadline concerned; empty for the row as such."
        ),
        sa.Column("code", Key, nullable=False, comment="Which problem, in one word; set at insert."),
        sa.Column("problem", LongText, nullable=False, comment="What is wrong and what to do; renewed while it lasts."),
        sa.Column("first_seen_at", Instant, nullable=False, comment="Since when; set anew if it comes back."),
        sa.Column("last_seen_at", Instant, nullable=False, comment="When it was last looked at and still there."),
        sa.Column("resolved_at", Instant, nullable=True, comment="When the row was found mended; null while it is not."),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_problems")),
        sa.UniqueConstraint(
            "table_name", "subject_id", "kind", "code", name=("uq_clock_problems_table_name_subject_id_kind_code")
        ),
    )
    op.create_table(
        "clock_changes",
        sa.Column("id", BigId, nullable=False, comment="The order of arrival; never changes."),
        sa.Column("table_name", Key, nullable=False, comment="The table of the changed row; filled by triggers."),
        sa.Column("subject_id", Key, nullable=False, comment="The changed row's id, as text; filled by triggers."),
        sa.Column(
            "noted_at",
            Instant,
            server_default=present_second(),
            nullable=True,
            comment="When it was noted. The row goes when it is stamped.",
        ),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_changes")),
    )
    op.create_table(
        "clock_archive",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("table_name", Key, nullable=False, comment="The table that the row came from. Never changes."),
        sa.Column("row_id", BigId, nullable=False, comment="Its id there. Never changes."),
        sa.Column("kind", Key, nullable=True, comment="The kind of deadline. Never changes."),
        sa.Column("subject_id", Key, nullable=True, comment="The id of the row that it bound, as text. Never changes."),
        sa.Column("archived_at", Instant, nullable=False, comment="When purge moved it here. Never changes."),
        sa.Column("content", Document, nullable=False, comment="The whole row as it was. Never changes."),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_archive")),
    )
    op.create_index("ix_clock_archive_subject", "clock_archive", ["kind", "subject_id"], unique=False)


def downgrade() -> None:
    ours = ("archive", "changes", "problems", "runs", "outbox", "events", "deadlines", "policies")
    markets = ("refunds", "disputes", "orders", "buyers", "sellers") if market_is_ours() else ()
    for table in (*(f"clock_{name}" for name in ours), *markets):
        op.drop_table(table)
