"""The same writes as a sweep's, as bare SQL through the plain driver: about what a database can do.

In PostgreSQL one statement a batch; in SQLite and MariaDB, which have no such statement, one transaction a batch. No
condition is dropped that the data needs. The event says what the dispute was, as ours does; nothing is counted or recorded
beside the rows themselves, and nobody asks whether the seller was warned.

PostgreSQL has two ways to claim a batch. As one join, as one would write it first: it reads and sorts all that is due for
every batch, so the work grows with the square of the backlog. By keys: the first deadlines in the order of their index, then
their disputes. SQLite and MariaDB read the join in that order by themselves, look each dispute up by its key and stop after
a batch: one way is enough.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pymysql
from sqlalchemy.engine import make_url

BATCH = 1000

_BY_JOIN = f"""
WITH claimed AS MATERIALIZED (
    SELECT d.id, d.kind, d.subject_id, d.round, d.due_at, s.id AS dispute_id, s.status, s.escalated_at, s.escalated_by
    FROM clock_deadlines d JOIN disputes s ON s.id = d.subject_id::bigint
    WHERE d.kind = 'seller_response' AND d.state = 'running' AND d.due_at <= now()
      AND s.status = 'awaiting_seller'
      AND d.starts_at = greatest(coalesce(s.awaiting_seller_since, s.opened_at), s.seller_replied_at)
    ORDER BY d.due_at, d.id LIMIT {BATCH} FOR UPDATE OF d, s SKIP LOCKED
)"""

# Keys travel as an array: of a join with what was claimed PostgreSQL knows no size, and may read the whole table for it.
# It goes on behind the last that was looked at, so that deadlines which are not true any more never stand in its way.
_BY_KEYS = f"""
WITH looked_at AS MATERIALIZED (
    SELECT id, kind, subject_id, starts_at, round, due_at FROM clock_deadlines
    WHERE kind = 'seller_response' AND state = 'running' AND due_at <= now() AND (due_at, id) > (%(due_at)s, %(id)s)
    ORDER BY due_at, id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
), silent AS MATERIALIZED (
    SELECT id, greatest(coalesce(awaiting_seller_since, opened_at), seller_replied_at) AS starts_at,
           status, escalated_at, escalated_by
    FROM disputes
    WHERE id = ANY (ARRAY(SELECT subject_id::bigint FROM looked_at)) AND status = 'awaiting_seller'
    FOR UPDATE SKIP LOCKED
), claimed AS MATERIALIZED (
    SELECT l.id, l.kind, l.subject_id, l.round, silent.id AS dispute_id, status, escalated_at, escalated_by
    FROM looked_at l JOIN silent ON silent.id = l.subject_id::bigint AND silent.starts_at = l.starts_at
)"""

_TAKE_EFFECT = """, changed AS (
    UPDATE disputes SET status = 'escalated', escalated_at = now(), escalated_by = 'clock'
    WHERE id = ANY (ARRAY(SELECT dispute_id FROM claimed))
), settled AS (
    UPDATE clock_deadlines SET state = 'fired', fired_at = now(), settled_at = now(), remind_at = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM claimed))
), told AS (
    INSERT INTO clock_events (deadline_id, kind, subject_id, event, at, actor, detail)
    SELECT id, kind, subject_id, 'dispute:escalated', now(), 'clock', json_build_object('was_row', json_strip_nulls(
           json_build_object('status', status, 'escalated_at', escalated_at, 'escalated_by', escalated_by)))
    FROM claimed
), queued AS (
    INSERT INTO clock_outbox (key, kind, deadline_id, notice, party, state, attempts, queued_at, next_attempt_at)
    SELECT id || '.' || round || '.outcome.0.' || party, kind, id, 'outcome', party, 'queued', 0,
           now(), now()
    FROM claimed CROSS JOIN (VALUES ('seller'), ('buyer')) AS told_to (party)
)
"""
_LAST = "SELECT due_at, id, count(*) OVER () FROM {claim} ORDER BY due_at DESC, id DESC LIMIT 1"
BY_JOIN, BY_KEYS = "bare SQL", "bare SQL by keys"
_POSTGRESQL = {
    BY_JOIN: _BY_JOIN + _TAKE_EFFECT + _LAST.format(claim="claimed"),
    BY_KEYS: _BY_KEYS + _TAKE_EFFECT + _LAST.format(claim="looked_at"),
}

_CLAIM = f"""
SELECT d.id, s.id
FROM clock_deadlines d JOIN disputes s ON s.id = CAST(d.subject_id AS {{integer}})
WHERE d.kind = 'seller_response' AND d.state = 'running' AND d.due_at <= {{now}}
  AND s.status = 'awaiting_seller' AND d.starts_at = coalesce(s.awaiting_seller_since, s.opened_at)
  AND (s.seller_replied_at IS NULL OR s.seller_replied_at <= d.starts_at)
ORDER BY d.due_at, d.id LIMIT {BATCH}
"""

# The event comes first: it tells what the dispute was. What else was null is left out, as returnclock does.
_WRITES = (
    """INSERT INTO clock_events (deadline_id, kind, subject_id, event, at, actor, detail)
       SELECT d.id, d.kind, subject_id, 'dispute:escalated', {now}, 'clock',
              json_object('was_row', json_object('status', s.status))
       FROM clock_deadlines d JOIN disputes s ON s.id = CAST(d.subject_id AS {integer}) WHERE d.id IN ({deadlines})""",
    """UPDATE disputes SET status = 'escalated', escalated_at = {now}, escalated_by = 'clock' WHERE id IN ({disputes})""",
    """UPDATE clock_deadlines SET state = 'fired', fired_at = {now}, settled_at = {now}, remind_at = NULL
       WHERE id IN ({deadlines})""",
    """INSERT INTO clock_outbox (`key`, kind, deadline_id, notice, party, state, attempts, queued_at, next_attempt_at)
       SELECT {key}, kind, id, 'outcome', told, 'queued', 0, {now}, {now}
       FROM clock_deadlines CROSS JOIN (SELECT 'seller' AS told UNION ALL SELECT 'buyer') AS parties
       WHERE id IN ({deadlines})""",
)
_SQLITE_WORDS = {
    "integer": "INTEGER",
    "now": "strftime('%Y-%m-%d %H:%M:%f000Z', 'now')",
    "key": "id || '.' || round || '.outcome.0.' || told",
}
_MARIADB_WORDS = {"integer": "SIGNED", "now": "UTC_TIMESTAMP(6)", "key": "concat(id, '.', round, '.outcome.0.', told)"}


class BareSweep:
    """The plain driver of the database, over one connection that is kept, as a worker keeps its own."""

    def __init__(self, url: str, name: str = BY_JOIN) -> None:
        """``name``: in PostgreSQL, which of its two statements; elsewhere there is one way."""
        self.name = name
        self.claim = "in two steps: deadlines in the order of their index, disputes by key" if name == BY_KEYS else "one join"
        self._backend = make_url(url).get_backend_name()
        self._connection = plain_connection(url)

    def close(self) -> None:
        self._connection.close()

    def run(self) -> int:
        """Enforce all that is due; returns how many batches it took."""
        cursor = self._connection.cursor()
        if self._backend == "postgresql":
            return _in_statements(cursor, _POSTGRESQL[self.name].encode())
        if self._backend == "sqlite":
            return _in_batches(cursor, "BEGIN IMMEDIATE", _CLAIM, _SQLITE_WORDS)
        return _in_batches(cursor, "BEGIN", _CLAIM + "FOR UPDATE SKIP LOCKED", _MARIADB_WORDS)


def _in_statements(cursor: Any, statement: bytes) -> int:
    batches, last = 0, {"due_at": "-infinity", "id": 0}
    while True:
        batches += 1
        found = cursor.execute(statement, last).fetchone()
        if found is None or found[2] < BATCH:
            return batches
        last = {"due_at": found[0], "id": found[1]}


def _in_batches(cursor: Any, begin: str, claim: str, words: dict[str, str]) -> int:
    batches = 0
    while True:
        batches += 1
        cursor.execute(begin)
        cursor.execute(claim.format(**words))
        claimed = cursor.fetchall()
        if claimed:
            ids = {
                "deadlines": ", ".join(str(deadline) for deadline, _ in claimed),
                "disputes": ", ".join(str(dispute) for _, dispute in claimed),
            }
            for statement in _WRITES:
                cursor.execute(statement.format(**words, **ids))
        cursor.execute("COMMIT")
        if len(claimed) < BATCH:
            return batches


def plain_connection(url: str) -> Any:
    """A connection of the plain driver in which each statement commits by itself, with returnclock's own settings."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return psycopg.connect(plain_postgres_url(url), autocommit=True)
    if backend == "sqlite":
        connection = sqlite3.connect(parsed.database or "", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=OFF", "cache_size=-8192"):
            connection.execute(f"PRAGMA {pragma}")
        return connection
    where: dict[str, Any] = {"host": parsed.host, "port": parsed.port or 3306, "user": parsed.username}
    settings = "SET time_zone = '+00:00', tx_isolation = 'READ-COMMITTED', in_predicate_conversion_threshold = 0"
    return pymysql.connect(**where, database=parsed.database, autocommit=True, init_command=settings)


def plain_postgres_url(url: str) -> str:
    """SQLAlchemy's URL as libpq writes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
