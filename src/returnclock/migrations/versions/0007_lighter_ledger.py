"""Drops what every deadline paid for and no statement used: an index of the ledger, and a look at the policy for each row.

The ledger is read by id (the feed) or by deadline; who wants the events of a row of the market finds its deadlines first, in
their unique key. Policies are never deleted, and a deadline gets the id of one that its own transaction has read; looking
each up again took a fifth of what writing a deadline takes. In SQLite, where that look was never taken, an old database
keeps the words of it.

Deadlines affected: none.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEX, _KEY = "ix_clock_events_subject", "fk_clock_deadlines_policy_id"


def upgrade() -> None:
    op.drop_index(_INDEX, "clock_events")
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(f"ALTER TABLE clock_deadlines DROP CONSTRAINT IF EXISTS {_KEY}")
    elif dialect != "sqlite":
        op.execute(f"ALTER TABLE clock_deadlines DROP FOREIGN KEY IF EXISTS {_KEY}, DROP INDEX IF EXISTS {_KEY}")


def downgrade() -> None:
    op.create_index(_INDEX, "clock_events", ["kind", "subject_id"])
