"""A view for front ends, clock_due: every deadline with its table, its dates and how they came about, in one row.

Which table a kind binds is kept beside its policies, where stamp writes it: a shop's own kinds are known nowhere else, and
to fill a column of clock_deadlines would mean to rewrite millions of rows. The kinds of this version are filled in here;
what a shop's own kinds and the version before leave empty is filled by the next reconcile.

The steps are those of the latest event that tells any. The number of such events is that of the interventions, and the
index on their deadline finds them; a copy in the deadline's own row would have to be written by everything that counts.

In SQLite ids are from now on never given twice. Purge may take away the newest rows, and a feed that is followed by id would
then pass over the events after it, and a mail server over a notice, whose Message-ID comes from the deadline's id.

Deadlines affected: none.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

from returnclock.tables.types import Key

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BINDS = {
    "disputes": ("seller_response", "return_shipment"),
    "orders": ("return_window",),
    "refunds": (
        *("refund_completion", "refund_inspection", "refund_processing", "refund_clearing"),
        "refund_mediation",
    ),
}
_COMMENTS = {
    "deadline_id": "The row of clock_deadlines. Never changes.",
    "table_name": "The table of the row that is bound. Null until the next reconcile where another version wrote the policy.",
    "subject_id": "The id of that row, as text. Never changes.",
    "kind": "The kind of deadline. Never changes.",
    "party": "Who must act, seller, buyer or platform. Never changes.",
    "state": "running until held, met, fired or void.",
    "starts_at": "From when days are counted; a new start is a new row.",
    "promised_at": "The communicated date, for people; moved only by an intervention or a re-opening.",
    "due_at": "The effective date (promised_at and the grace); moves with promised_at.",
    "last_day": "The last local day, YYYY-MM-DD as text; what people are shown where ends is end_of_day.",
    "ends": "same_time, and promised_at is the moment to show; or end_of_day, and it is the first instant after last_day.",
    "time_zone": "IANA zone in which the days were counted, and in which promised_at is to be shown.",
    "remind_at": "The next reminder; null after the last, and once it no longer runs.",
    "explanation": "Period, last day, zone and grace in one line of English; follows what it is made of.",
    "steps": "Every step of the latest counting, a JSON array of sentences; replaced when it is counted again.",
}


def upgrade() -> None:
    op.add_column(
        "clock_policies",
        sa.Column("table_name", Key, nullable=True, comment="The table whose rows its kind binds; follows the settings."),
    )
    for table, kinds in _BINDS.items():
        names = ", ".join(f"'{kind}'" for kind in kinds)
        op.execute(f"UPDATE clock_policies SET table_name = '{table}' WHERE kind IN ({names})")
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        for table in ("clock_events", "clock_deadlines"):
            _number_once(table)
    op.execute(_view(dialect))
    if dialect == "postgresql":
        for column, comment in _COMMENTS.items():
            op.execute(f"COMMENT ON COLUMN clock_due.{column} IS '{comment}'")


def downgrade() -> None:
    # That SQLite gives no id twice stays: it takes nothing from the version before.
    op.execute("DROP VIEW clock_due")
    op.drop_column("clock_policies", "table_name")


def _number_once(table: str) -> None:
    """Make a table of SQLite anew, as it stands, with AUTOINCREMENT; it cannot be added to one that exists."""
    connection = op.get_bind()
    asked = sa.text("SELECT type, sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL")
    parts = connection.execute(asked, {"name": table}).all()
    (made,) = (part.sql for part in parts if part.type == "table")
    if "AUTOINCREMENT" in made:
        return
    key = f"CONSTRAINT pk_{table} PRIMARY KEY"
    anew = re.sub(rf",\s*{key} \(id\)", "", made.replace(f"TABLE {table}", f"TABLE {table}_anew", 1))
    anew = anew.replace("id INTEGER NOT NULL", f"id INTEGER NOT NULL {key} AUTOINCREMENT", 1)
    for statement in (
        anew,
        f"INSERT INTO {table}_anew SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_anew RENAME TO {table}",
        *(part.sql for part in parts if part.type == "index"),
    ):
        connection.exec_driver_sql(statement)


def _view(dialect: str) -> str:
    period, ends, roll, grace = (_word(dialect, "p.definition", name) for name in ("period", "ends", "roll", "grace"))
    last_day, zone, calendar = (_word(dialect, "d.schedule", name) for name in ("last_day", "zone", "calendar"))
    # An intervention may have moved a date that ends with a day to another time of day; then the deadline says so.
    ends = f"COALESCE({_word(dialect, 'd.schedule', 'ends')}, {ends})"
    named, after = _joined(dialect, "', calendar '", calendar), _joined(dialect, "', then a grace of '", grace)
    later = "', in effect later than that'"
    explanation = _joined(
        dialect,
        period,
        f"CASE WHEN {ends} = 'end_of_day' THEN ', until the end of ' ELSE ', until ' END",
        *(last_day, "' ('", zone, "')'"),
        f"CASE WHEN {period} LIKE '%business%' OR {grace} LIKE '%business%' OR {roll} <> 'none' THEN {named} ELSE '' END",
        # Without a grace it was put off: its party was not warned in time.
        f"CASE WHEN d.due_at <= d.promised_at THEN '' WHEN {grace} LIKE '0 %' THEN {later} ELSE {after} END",
    )
    steps = {
        "postgresql": "e.detail -> 'steps'",
        "sqlite": "json_extract(e.detail, '$.steps')",
    }.get(dialect, "JSON_EXTRACT(e.detail, '$.steps')")
    # Plus nothing, because a planner that is offered the order of the key may walk backwards through all events.
    return f"""
        CREATE VIEW clock_due AS SELECT
            d.id AS deadline_id, p.table_name, d.subject_id, d.kind, d.party, d.state,
            d.starts_at, d.promised_at, d.due_at, {last_day} AS last_day, {ends} AS ends, {zone} AS time_zone, d.remind_at,
            {explanation} AS explanation,
            (
                SELECT {steps} FROM clock_events e
                WHERE e.deadline_id = d.id AND {steps} IS NOT NULL ORDER BY e.id + 0 DESC LIMIT 1
            ) AS steps
        FROM clock_deadlines d JOIN clock_policies p ON p.id = d.policy_id"""


def _word(dialect: str, document: str, name: str) -> str:
    """One member of a JSON document, as text."""
    if dialect == "postgresql":
        return f"{document} ->> '{name}'"
    return f"json_extract({document}, '$.{name}')" if dialect == "sqlite" else f"JSON_VALUE({document}, '$.{name}')"


def _joined(dialect: str, *parts: str) -> str:
    return f"({' || '.join(parts)})" if dialect == "sqlite" else f"CONCAT({', '.join(parts)})"
