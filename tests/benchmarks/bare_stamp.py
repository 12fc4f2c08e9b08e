"""The same writes as a stamp's, as bare SQL through the plain driver, with every date and every word of them ready-made.

What is counted in returnclock lies in a table here, as if it cost nothing; what is left is what the database takes to have a
row changed, a deadline with its indexes and an event with its explanation. PostgreSQL gets one statement a batch, SQLite and
MariaDB, which have no such statement, one transaction a batch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from returnclock.runs import perform
from returnclock.tables.clock import deadlines, events
from tests.benchmarks.bare import BATCH, plain_connection
from tests.benchmarks.workload import Workload

_OF_DEADLINE = [column.name for column in deadlines.columns if column.name != "id"]
_OF_EVENT = [column.name for column in events.columns if column.name not in ("id", "deadline_id")]
_WRITTEN = ", ".join(_OF_DEADLINE)
_READY = ", ".join(f"r.{name}" for name in _OF_DEADLINE)
_TOLD = ", ".join(_OF_EVENT)
_TELLING = ", ".join(f"r.told_{name}" for name in _OF_EVENT)
_RUNS = "s.status = 'awaiting_seller' AND coalesce(s.awaiting_seller_since, s.opened_at) = r.starts_at"

_POSTGRESQL = f"""
WITH taken AS MATERIALIZED (
    DELETE FROM clock_changes
    WHERE id = ANY (ARRAY(SELECT id FROM clock_changes ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED))
    RETURNING table_name, subject_id
), stamped AS (
    INSERT INTO clock_deadlines ({_WRITTEN})
    SELECT {_READY} FROM ready_stamps r JOIN disputes s ON s.id = r.dispute_id
    WHERE r.dispute_id IN (SELECT subject_id::bigint FROM taken WHERE table_name = 'disputes') AND {_RUNS}
    ON CONFLICT (subject_id, kind, starts_at) DO NOTHING RETURNING id, subject_id
), told AS (
    INSERT INTO clock_events (deadline_id, {_TOLD})
    SELECT stamped.id, {_TELLING} FROM stamped JOIN ready_stamps r ON r.dispute_id = stamped.subject_id::bigint
)
SELECT count(*) FROM taken
"""
_TAKE = f"SELECT id, table_name, subject_id FROM clock_changes ORDER BY id LIMIT {BATCH}"
_WRITES = (
    f"""INSERT {{ignore}} INTO clock_deadlines ({_WRITTEN})
        SELECT {_READY} FROM ready_stamps r JOIN disputes s ON s.id = r.dispute_id
        WHERE r.dispute_id IN ({{disputes}}) AND {_RUNS}""",
    f"""INSERT INTO clock_events (deadline_id, {_TOLD})
        SELECT d.id, {_TELLING} FROM ready_stamps r
        JOIN clock_deadlines d ON d.subject_id = r.subject_id AND d.kind = r.kind AND d.starts_at = r.starts_at
        WHERE r.dispute_id IN ({{disputes}})""",
)


class BareStamp:
    """The plain driver of the database, over one connection that is kept."""

    def __init__(self, workload: Workload) -> None:
        self.backend = workload.engine.dialect.name
        self._connection = plain_connection(workload.url)
        _make_ready(workload)

    def close(self) -> None:
        self._connection.close()

    def run(self) -> None:
        """Stamp all that was noted."""
        cursor = self._connection.cursor()
        batch = _in_one_statement if self.backend == "postgresql" else _in_statements
        while batch(cursor, self.backend) == BATCH:
            pass


def _in_one_statement(cursor: Any, _backend: str) -> int:
    cursor.execute(_POSTGRESQL.encode())
    return int(cursor.fetchone()[0])


def _in_statements(cursor: Any, backend: str) -> int:
    sqlite = backend == "sqlite"
    cursor.execute("BEGIN IMMEDIATE" if sqlite else "BEGIN")
    cursor.execute(_TAKE if sqlite else f"{_TAKE} FOR UPDATE SKIP LOCKED")
    taken = cursor.fetchall()
    disputes = ", ".join(str(int(subject_id)) for _, table, subject_id in taken if table == "disputes")
    if disputes:
        for statement in _WRITES:
            cursor.execute(statement.format(disputes=disputes, ignore="OR IGNORE" if sqlite else "IGNORE"))
    if taken:
        cursor.execute(f"DELETE FROM clock_changes WHERE id IN ({', '.join(str(change) for change, *_ in taken)})")
    cursor.execute("COMMIT")
    return len(taken)


def _make_ready(workload: Workload) -> None:
    """Keep what returnclock itself stamps and tells of all the disputes."""
    workload.restore(workload.rows, stamped=False)
    perform(workload.wiring, "stamp", trigger="cli", actor="clock")
    told = ", ".join(f"e.{name} AS told_{name}" for name in _OF_EVENT)
    columns = ", ".join(f"d.{name}" for name in _OF_DEADLINE)
    number = {"postgresql": "bigint", "sqlite": "INTEGER"}.get(workload.engine.dialect.name, "SIGNED")
    with workload.server() as connection:
        connection.execute(
            text(
                f"CREATE TABLE ready_stamps AS SELECT CAST(d.subject_id AS {number}) AS dispute_id, {columns}, {told}"
                " FROM clock_deadlines d JOIN clock_events e ON e.deadline_id = d.id"
            )
        )
        connection.execute(text("CREATE UNIQUE INDEX ix_ready_stamps ON ready_stamps (dispute_id)"))
        if workload.engine.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE ready_stamps"))
