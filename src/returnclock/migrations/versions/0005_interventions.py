"""Holds, pauses, burst caps and vacations; and when a deadline's warning must be out.

Old code works beside it: the new columns may be null, and it neither reads nor writes the new tables. While it runs, holds
do not bind it: bring all workers up to date before the first hold.

Deadlines affected: none. Those that were stamped before have no warn_by, and amnesty never moves them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from returnclock.tables.types import BigId, Document, Instant, Key, LongText, present

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ROUND = "How often it was re-opened in place.", "How often it was re-opened or moved in place."


def upgrade() -> None:
    op.add_column(
        "clock_deadlines",
        sa.Column(
            "warn_by",
            Instant,
            nullable=True,
            comment="A reminder that we owe must be out by then, or amnesty is due; moves with due_at.",
        ),
    )
    op.add_column(
        "clock_deadlines",
        sa.Column(
            "spared_at",
            Instant,
            nullable=True,
            comment="When amnesty moved due_at on; null if it did not, and again after a new date.",
        ),
    )
    _say_of_round(*_ROUND)
    op.create_table(
        "clock_holds",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column(
            "scope",
            Document,
            nullable=False,
            comment="Which deadlines: kind, table, id, where; except grows by single resumes.",
        ),
        sa.Column("starts_at", Instant, nullable=False, comment="From when time stands still; set at insert."),
        sa.Column(
            "ends_at", Instant, nullable=True, comment="Until when; null while open-ended, set when it is ended by hand."
        ),
        sa.Column("reason", LongText, nullable=False, comment="Why; set at insert."),
        sa.Column("actor", Key, nullable=False, comment="Who; set at insert."),
        sa.Column("created_at", Instant, nullable=False, comment="When it was ordered; set at insert."),
        sa.Column("ended_by", Key, nullable=True, comment="Who ended it by hand; null where it ended by itself."),
        sa.Column("end_reason", LongText, nullable=True, comment="Why it was ended by hand."),
        sa.Column(
            "caught_at", Instant, nullable=True, comment="When deadlines were last looked through for those that it covers."
        ),
        sa.Column(
            "closed_at",
            Instant,
            nullable=True,
            comment="When it stopped covering: all of its span was applied; null until then.",
        ),
        sa.Column("done_at", Instant, nullable=True, comment="When the last deadline under it ran again; null until then."),
        sa.PrimaryKeyConstraint("id", name="pk_clock_holds"),
    )
    op.create_table(
        "clock_pauses",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("what", Key, nullable=False, comment="task or kind; set at insert."),
        sa.Column("name", Key, nullable=False, comment="Which task or kind rests; set at insert."),
        sa.Column("reason", LongText, nullable=False, comment="Why; set at insert."),
        sa.Column("actor", Key, nullable=False, comment="Who; set at insert."),
        sa.Column("paused_at", Instant, nullable=False, comment="Since when; set at insert."),
        sa.Column("until", Instant, nullable=True, comment="It ends by itself then; null if it must be ended by hand."),
        sa.Column("ended_at", Instant, nullable=True, comment="When it was ended by hand; null until then."),
        sa.Column("ended_by", Key, nullable=True, comment="Who ended it by hand."),
        sa.CheckConstraint("what IN ('task', 'kind')", name="ck_clock_pauses_what"),
        sa.PrimaryKeyConstraint("id", name="pk_clock_pauses"),
    )
    op.create_table(
        "clock_bursts",
        sa.Column(
            "kind", Key, nullable=False, comment="The kind whose firings are counted, or clock_vacations; set at insert."
        ),
        sa.Column("since", Instant, nullable=False, comment="When the running minute began; set anew with each minute."),
        sa.Column(
            "fired",
            sa.Integer(),
            nullable=False,
            comment="How many have fired in that minute; counted up by sweeps under a cap.",
        ),
        sa.PrimaryKeyConstraint("kind", name="pk_clock_bursts"),
    )
    op.create_table(
        "clock_vacations",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("seller_id", BigId, nullable=False, comment="Who is away; set at insert."),
        sa.Column("first_day", sa.Date(), nullable=False, comment="The first local day of the vacation; set at insert."),
        sa.Column("last_day", sa.Date(), nullable=False, comment="The last local day of it; set at insert."),
        sa.Column(
            "announced_at",
            Instant,
            server_default=present(),
            nullable=True,
            comment="When it was announced; days up to then never count.",
        ),
        sa.Column(
            "removed_at",
            Instant,
            nullable=True,
            comment="When it was taken back; its later days no longer count. Set by front end or command.",
        ),
        sa.Column(
            "applied_at", Instant, nullable=True, comment="◆ When running deadlines had been moved for it; null until then."
        ),
        sa.PrimaryKeyConstraint("id", name="pk_clock_vacations"),
    )
    op.create_index("ix_clock_vacations_seller", "clock_vacations", ["seller_id"], unique=False)
    waiting = sa.text("applied_at IS NULL")
    op.create_index(
        "ix_clock_vacations_waiting", "clock_vacations", ["applied_at"], postgresql_where=waiting, sqlite_where=waiting
    )


def downgrade() -> None:
    for table in ("clock_vacations", "clock_bursts", "clock_pauses", "clock_holds"):
        op.drop_table(table)
    _say_of_round(*reversed(_ROUND))
    op.drop_column("clock_deadlines", "spared_at")
    op.drop_column("clock_deadlines", "warn_by")


def _say_of_round(before: str, after: str) -> None:
    if op.get_bind().dialect.name != "sqlite":  # which keeps no comments
        op.alter_column(
            "clock_deadlines",
            "round",
            comment=after,
            existing_comment=before,
            existing_type=sa.Integer(),
            existing_server_default=sa.text("0"),
            existing_nullable=False,
        )
