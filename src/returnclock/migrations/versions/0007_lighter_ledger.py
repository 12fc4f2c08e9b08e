"""Drops what every deadline paid for and no statement used: an index of the ledger, and two looks at other rows for each row.

The ledger is read by id (the feed) or by deadline; who wants the events of a row of the market finds its deadlines first, in
their unique key. Policies are never deleted, and a deadline gets the id of one that its own transaction has read; looking
each up again took a fifth of what writing a deadline takes. A notice is written from its deadline's own locked row, and purge
archives both at once; looking each up again took a sixth of a sweep. In SQLite, where those looks were never taken, an
old database keeps the words of them.

Deadlines affected: none.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEX = "ix_clock_events_subject"
# table -> the foreign key, and in MariaDB the index that was made for it alone
_KEYS = {"clock_deadlines": "fk_clock_deadlines_policy_id", "clock_outbox": "fk_clock_outbox_deadline_id"}


def upgrade() -> None:
    op.drop_index(_INDEX, "clock_events")
    dialect = op.get_bind().dialect.name
    for table, key in _KEYS.items():
        if dialect == "postgresql":
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {key}")
        elif dialect != "sqlite":
            op.execute(f"ALTER TABLE {table} DROP FOREIGN KEY IF EXISTS {key}, DROP INDEX IF EXISTS {key}")


def downgrade() -> None:
    op.create_index(_INDEX, "clock_events", ["kind", "subject_id"])
