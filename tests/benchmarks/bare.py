"""The same writes as a sweep's, as bare SQL through the plain driver: what a database can do at best.

In PostgreSQL one statement a batch; in SQLite and MariaDB, which have no such statement, one transaction a batch. No
condition is dropped that the data needs, and nothing is counted, recorded or explained beside the rows themselves.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pymysql
from sqlalchemy.engine import make_url

BATCH = 1000

_POSTGRESQL = f"""
WITH claimed AS MATERIALIZED (
    SELECT d.id, d.kind, d.subject_id, d.round, s.id AS dispute_id
    FROM clock_deadlines d JOIN disputes s ON s.id = d.subject_id::bigint
    WHERE d.kind = 'seller_response' AND d.state = 'running' AND d.due_at <= now()
      AND s.status = 'awaiting_seller'
      AND d.starts_at = greatest(coalesce(s.awaiting_seller_since, s.opened_at), s.seller_replied_at)
    ORDER BY d.due_at, d.id LIMIT {BATCH} FOR UPDATE OF d, s SKIP LOCKED
), changed AS (
    UPDATE disputes SET status = 'escalated', escalated_at = now(), escalated_by = 'clock'
    FROM claimed WHERE disputes.id = claimed.dispute_id
), settled AS (
    UPDATE clock_deadlines SET state = 'fired', fired_at = now(), settled_at = now(), remind_at = NULL
    FROM claimed WHERE clock_deadlines.id = claimed.id
), told AS (
    INSERT INTO clock_events (deadline_id, kind, subject_id, event, at, actor)
    SELECT id, kind, subject_id, 'dispute:escalated', now(), 'clock' FROM claimed
), queued AS (
    INSERT INTO clock_outbox (key, kind, deadline_id, notice, party, state, attempts, queued_at, next_attempt_at)
    SELECT id || '.' || round || '.outcome.0.' || party, kind, id, 'outcome', party, 'queued', 0,
           now(), now()
    FROM claimed CROSS JOIN (VALUES ('seller'), ('buyer')) AS told_to (party)
)
SELECT count(*) FROM claimed
"""

_CLAIM = f"""
SELECT d.id, s.id
FROM clock_deadlines d JOIN disputes s ON s.id = CAST(d.subject_id AS {{integer}})
WHERE d.kind = 'seller_response' AND d.state = 'running' AND d.due_at <= {{now}}
  AND s.status = 'awaiting_seller' AND d.starts_at = coalesce(s.awaiting_seller_since, s.opened_at)
  AND (s.seller_replied_at IS NULL OR s.seller_replied_at <= d.starts_at)
ORDER BY d.due_at, d.id LIMIT {BATCH}
"""

_WRITES = (
    """UPDATE disputes SET status = 'escalated', escalated_at = {now}, escalated_by = 'clock' WHERE id IN ({disputes})""",
    """UPDATE clock_deadlines SET state = 'fired', fired_at = {now}, settled_at = {now}, remind_at = NULL
       WHERE id IN ({deadlines})""",
    """INSERT INTO clock_events (deadline_id, kind, subject_id, event, at, actor)
       SELECT id, kind, subject_id, 'dispute:escalated', {now}, 'clock' FROM clock_deadlines WHERE id IN ({deadlines})""",
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

    def __init__(self, url: str) -> None:
        self._backend = make_url(url).get_backend_name()
        self._connection = plain_connection(url)

    def close(self) -> None:
        self._connection.close()

    def run(self) -> int:
        """Enforce all that is due; returns how many batches it took."""
        cursor = self._connection.cursor()
        if self._backend == "postgresql":
            return _in_statements(cursor)
        if self._backend == "sqlite":
            return _in_batches(cursor, "BEGIN IMMEDIATE", _CLAIM, _SQLITE_WORDS)
        return _in_batches(cursor, "BEGIN", _CLAIM + "FOR UPDATE SKIP LOCKED", _MARIADB_WORDS)


def _in_statements(cursor: Any) -> int:
    batches = 0
    while True:
        batches += 1
        cursor.execute(_POSTGRESQL.encode())
        if cursor.fetchone()[0] < BATCH:
            return batches


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
    utc = "SET time_zone = '+00:00', tx_isolation = 'READ-COMMITTED'"
    return pymysql.connect(**where, database=parsed.database, autocommit=True, init_command=utc)


def plain_postgres_url(url: str) -> str:
    """SQLAlchemy's URL as libpq writes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
