"""Indexes that serve who looks: what is live, dead, failed or a problem is found without reading the rest.

Old code does not know them and is served no worse. Deadlines affected: none.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES: tuple[tuple[str, str, tuple[str, ...], str | None], ...] = (
    ("ix_clock_deadlines_live", "clock_deadlines", ("kind", "state", "id"), "state IN ('running', 'held')"),
    ("ix_clock_outbox_dead", "clock_outbox", ("state", "queued_at"), "state = 'dead'"),
    ("ix_clock_runs_ended", "clock_runs", ("task", "state", "id"), None),
    ("ix_clock_runs_failed", "clock_runs", ("state", "id"), "state = 'failed'"),
    ("ix_clock_problems_open", "clock_problems", ("resolved_at", "first_seen_at"), "resolved_at IS NULL"),
)


def upgrade() -> None:
    for name, table, columns, only in _INDEXES:
        where: dict[str, Any] = {} if only is None else {"postgresql_where": sa.text(only), "sqlite_where": sa.text(only)}
        op.create_index(name, table, list(columns), **where)


def downgrade() -> None:
    for name, table, _, _ in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
