"""Triggers that note in clock_changes which rows of the market a front end has changed.

They note only the changes that can matter to a deadline or a notice: an ORM that rewrites every column with equal values
notes nothing. A dispute that goes also notes the order that it leaves, whose return window depends on it; the order that it
has is found by way of the dispute when that is stamped, so that an insert costs the front end one note and not two.

What returnclock itself changes while `unnoted.unnoted` says so is not noted (PostgreSQL and MariaDB).

Deadlines affected: none.
"""

from __future__ import annotations

from alembic import op

from returnclock.migrations import market_is_ours

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PARTY = ("name", "email", "locale", "time_zone", "country", "subdivision")
_WATCHED = {
    "sellers": _PARTY,
    "buyers": _PARTY,
    "orders": (
        *("buyer_id", "seller_id", "number", "category", "country", "subdivision"),
        *("delivered_at", "return_status"),
    ),
    "disputes": (
        *("order_id", "kind", "status", "opened_at", "awaiting_seller_since", "seller_replied_at"),
        *("accepted_at", "return_shipped_at"),
    ),
    "refunds": (*("order_id", "amount", "currency", "status", "started_at", "inspected_at", "processed_at", "completed_at"),),
}
_EVENTS = ("insert", "update", "delete")


def upgrade() -> None:
    if not market_is_ours():
        return  # "returnclock attach" puts them on the shop's own tables, when it is asked to
    write = {"postgresql": _postgresql, "sqlite": _sqlite}.get(op.get_bind().dialect.name, _mariadb)
    for table, columns in _WATCHED.items():
        for statement in write(table, columns):
            op.execute(statement)


def downgrade() -> None:
    if not market_is_ours():
        return
    postgresql = op.get_bind().dialect.name == "postgresql"
    for table in _WATCHED:
        for happening in _EVENTS:
            op.execute(f"DROP TRIGGER clock_{table}_{happening}" + (f" ON {table}" if postgresql else ""))
        if postgresql:
            op.execute(f"DROP FUNCTION clock_note_{table}()")


def _sqlite(table: str, columns: tuple[str, ...]) -> list[str]:
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in ("id", *columns))
    statements = []
    for happening in _EVENTS:
        body = "".join(f"{note};\n" for note in _row_notes(table, happening))
        when = f"WHEN {differs}\n" if happening == "update" else ""
        statements.append(
            f"CREATE TRIGGER clock_{table}_{happening} AFTER {happening.upper()} ON {table}\n{when}BEGIN\n{body}END"
        )
    return statements


def _mariadb(table: str, columns: tuple[str, ...]) -> list[str]:
    differs = " OR ".join(f"NOT (OLD.{column} <=> NEW.{column})" for column in ("id", *columns))
    statements = []
    for happening in _EVENTS:
        body = "".join(f"{note};\n" for note in _row_notes(table, happening))
        if happening == "update":
            body = f"IF @returnclock_unnoted IS NULL AND ({differs}) THEN\n{body}END IF;\n"
        statements.append(
            f"CREATE TRIGGER clock_{table}_{happening} AFTER {happening.upper()} ON {table} FOR EACH ROW\nBEGIN\n{body}END"
        )
    return statements


def _row_notes(table: str, happening: str) -> list[str]:
    """What a trigger that runs row by row inserts."""
    into = "INSERT INTO clock_changes (table_name, subject_id)"
    notes = [f"{into} VALUES ('{table}', {'OLD' if happening == 'delete' else 'NEW'}.id)"]
    if happening == "update":
        notes.append(f"{into} SELECT '{table}', OLD.id WHERE OLD.id <> NEW.id")
    if table == "disputes" and happening != "insert":
        moved = " AND NOT coalesce(OLD.order_id = NEW.order_id, 0)" if happening == "update" else ""
        notes.append(f"{into} SELECT 'orders', OLD.order_id WHERE OLD.order_id IS NOT NULL{moved}")
    return notes


def _postgresql(table: str, columns: tuple[str, ...]) -> list[str]:
    """One trigger a statement, with transition tables: a bulk import pays for one insert, not for one a row."""
    new = ", ".join(f"n.{column}" for column in columns)
    old = ", ".join(f"o.{column}" for column in columns)
    into = "INSERT INTO clock_changes (table_name, subject_id)"
    both = "new_rows n FULL JOIN old_rows o ON o.id = n.id"
    changed = f"SELECT '{table}', coalesce(n.id, o.id)::text FROM {both} WHERE ROW({new}) IS DISTINCT FROM ROW({old})"
    moved = f"SELECT '{table}', o.id::text FROM old_rows o WHERE NOT EXISTS (SELECT FROM new_rows n WHERE n.id = o.id)"
    inserted, deleted = (f"SELECT '{table}', id::text FROM {side}_rows" for side in ("new", "old"))
    if table == "disputes":
        deleted += " UNION ALL SELECT 'orders', order_id::text FROM old_rows WHERE order_id IS NOT NULL"
        changed += (
            f" UNION ALL SELECT 'orders', o.order_id::text FROM {both}"
            " WHERE o.order_id IS NOT NULL AND n.order_id IS DISTINCT FROM o.order_id"
        )
    # The definer's rights: a front end needs none on our tables.
    function = f"""
        CREATE FUNCTION clock_note_{table}() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN {into} {inserted};
            ELSIF TG_OP = 'DELETE' THEN {into} {deleted};
            ELSIF current_setting('returnclock.unnoted', true) IS DISTINCT FROM 'on' THEN {into} {changed} UNION {moved};
            END IF;
            RETURN NULL;
        END $$"""
    rows = {"insert": "NEW TABLE AS new_rows", "delete": "OLD TABLE AS old_rows"}
    triggers = [
        f"CREATE TRIGGER clock_{table}_{happening} AFTER {happening.upper()} ON {table}"
        f" REFERENCING {rows.get(happening, 'OLD TABLE AS old_rows NEW TABLE AS new_rows')}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION clock_note_{table}()"
        for happening in _EVENTS
    ]
    return [function, *triggers]
