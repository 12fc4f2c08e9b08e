"""A vacation is looked at again until all that was being written when it was applied is there; and who took one back is seen.

Old code works beside it: it applies a vacation once, as before, and the new code looks again.
Deadlines affected: those that were stamped, undone or restamped in the moment of an announcement are moved for it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from returnclock.tables.types import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLE = "clock_vacations"
_WAITING, _REMOVED = "ix_clock_vacations_waiting", "ix_clock_vacations_removed"
_UNAPPLIED, _UNSETTLED, _TAKEN_BACK = (
    sa.text(condition) for condition in ("applied_at IS NULL", "settled_at IS NULL", "removed_at IS NOT NULL")
)


def upgrade() -> None:
    comment = "◆ When those were moved too that were just being written then; null until then."
    op.add_column(_TABLE, sa.Column("settled_at", Instant, nullable=True, comment=comment))
    op.execute(f"UPDATE {_TABLE} SET settled_at = applied_at")
    op.drop_index(_WAITING, table_name=_TABLE)
    op.create_index(_WAITING, _TABLE, ["settled_at"], postgresql_where=_UNSETTLED, sqlite_where=_UNSETTLED)
    columns = ["removed_at", "applied_at"]
    op.create_index(_REMOVED, _TABLE, columns, postgresql_where=_TAKEN_BACK, sqlite_where=_TAKEN_BACK)


def downgrade() -> None:
    op.drop_index(_REMOVED, table_name=_TABLE)
    op.drop_index(_WAITING, table_name=_TABLE)
    op.drop_column(_TABLE, "settled_at")
    op.create_index(_WAITING, _TABLE, ["applied_at"], postgresql_where=_UNAPPLIED, sqlite_where=_UNAPPLIED)
