"""An index for the deadlines whose effect the database refused: each batch of a sweep asks whether there is one.

Deadlines affected: one that breaks its batch no longer keeps those beside it from taking effect.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SET_ASIDE = sa.text("resolved_at IS NULL AND code = 'cannot_fire'")


def upgrade() -> None:
    op.create_index(
        "ix_clock_problems_set_aside",
        "clock_problems",
        ["code", "resolved_at", "last_seen_at"],
        postgresql_where=_SET_ASIDE,
        sqlite_where=_SET_ASIDE,
    )


def downgrade() -> None:
    op.drop_index("ix_clock_problems_set_aside", "clock_problems")
