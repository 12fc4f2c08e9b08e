"""The histogram of lateness, an index for purge, and what tens of millions of rows ask of the indexes and of autovacuum.

In MariaDB the indexes of what is due get the state as a column: it has no partial indexes, and read every deadline that ever
fired at each tick. The outbox's index asks for a next attempt instead of a state, so that only the end of a notice writes it.

Building the indexes holds up writers of ``clock_deadlines``, ``clock_outbox`` and ``clock_runs``: about ten seconds for a
million rows. Nobody reads or writes these but returnclock.

Deadlines affected: none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from returnclock.tables.types import BigId, Instant, Key

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_RUNNING = "state = 'running'"
_REMINDING = "state = 'running' AND remind_at IS NOT NULL"
_UNSENT = "state IN ('queued', 'sending')"

# PostgreSQL's own default cleans a table when a fifth of it is dead: of thirty million rows that is a week of fired deadlines,
# and each of them is an entry at the very beginning of the index that every tick reads.
_OFTEN = "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.02"
_STORAGE = {
    "clock_deadlines": _OFTEN,
    # Room in each page for the next versions of its rows, which need no new index entries then (HOT).
    "clock_outbox": f"{_OFTEN}, fillfactor = 80",
    "clock_runs": "autovacuum_vacuum_scale_factor = 0.02",
    # Queues: nearly every row that they ever held is dead.
    "clock_changes": "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000",
    "clock_lateness": "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000",
}


def upgrade() -> None:
    op.create_table(
        "clock_lateness",
        sa.Column("id", BigId, nullable=False, comment="Set at insert, never changes."),
        sa.Column("kind", Key, nullable=False, comment="The kind of deadline that fired. Never changes."),
        sa.Column(
            "le_s",
            sa.Double(),
            nullable=True,
            comment="At most so many seconds late, and later than the next lower bound; null: no bound.",
        ),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="How many did. Never changes; purge adds rows up into one."
        ),
        sa.Column(
            "sum_s",
            sa.Double(),
            nullable=False,
            comment="Seconds of lateness added up; a batch keeps them in its first row.",
        ),
        sa.Column("noted_at", Instant, nullable=False, comment="When the batch fired, or when purge added its row up."),
        sa.PrimaryKeyConstraint("id", name=("pk_clock_lateness")),
    )
    if _is_mariadb():
        _replace("ix_clock_deadlines_due", "clock_deadlines", ["kind", "state", "due_at", "id"], _RUNNING)
        _replace("ix_clock_deadlines_remind", "clock_deadlines", ["kind", "state", "remind_at", "id"], _REMINDING)
    _replace("ix_clock_outbox_next", "clock_outbox", ["next_attempt_at", "id"], "next_attempt_at IS NOT NULL")
    _create("ix_clock_deadlines_settled", "clock_deadlines", ["kind", "settled_at", "id"], "settled_at IS NOT NULL")
    op.create_index("ix_clock_runs_idle", "clock_runs", ["idle", "started_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        for table, settings in _STORAGE.items():
            op.execute(f"ALTER TABLE {table} SET ({settings})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, settings in _STORAGE.items():
            names = ", ".join(setting.split(" =")[0] for setting in settings.split(", "))
            op.execute(f"ALTER TABLE {table} RESET ({names})")
    op.drop_index("ix_clock_runs_idle", "clock_runs")
    op.drop_index("ix_clock_deadlines_settled", "clock_deadlines")
    _replace("ix_clock_outbox_next", "clock_outbox", ["next_attempt_at", "id"], _UNSENT)
    if _is_mariadb():
        _replace("ix_clock_deadlines_remind", "clock_deadlines", ["kind", "remind_at", "id"], _REMINDING)
        _replace("ix_clock_deadlines_due", "clock_deadlines", ["kind", "due_at", "id"], _RUNNING)
    op.drop_table("clock_lateness")


def _is_mariadb() -> bool:
    return op.get_bind().dialect.name in ("mysql", "mariadb")


def _replace(name: str, table: str, columns: list[str], where: str) -> None:
    op.drop_index(name, table)
    _create(name, table, columns, where)


def _create(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, unique=False, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
