"""What a scheduled job does for its one deadline: the same writes as a sweep's, in one transaction of plain SQL.

No ORM and no statement too many: what is compared is a job for each deadline, not a job that is badly written.
"""

from __future__ import annotations

from typing import Any

import psycopg

# Restates what must still be true, and so decides whether the rest is done.
CHANGE = b"""
UPDATE disputes SET status = 'escalated', escalated_at = now(), escalated_by = 'clock'
FROM clock_deadlines d
WHERE d.id = %(deadline_id)s AND d.state = 'running' AND d.due_at <= now()
  AND disputes.id = d.subject_id::bigint AND disputes.status = 'awaiting_seller'
"""
THEN = (
    b"""
    UPDATE clock_deadlines SET state = 'fired', fired_at = now(), settled_at = now(), remind_at = NULL
    WHERE id = %(deadline_id)s
    """,
    b"""
    INSERT INTO clock_events (deadline_id, kind, subject_id, event, at, actor)
    SELECT id, kind, subject_id, 'dispute:escalated', now(), 'clock' FROM clock_deadlines WHERE id = %(deadline_id)s
    """,
    b"""
    INSERT INTO clock_outbox (key, kind, deadline_id, notice, party, state, attempts, queued_at, next_attempt_at)
    SELECT id || '.' || round || '.outcome.0.' || told, kind, id, 'outcome', told, 'queued', 0,
           now(), now()
    FROM clock_deadlines CROSS JOIN (VALUES ('seller'), ('buyer')) AS parties (told) WHERE id = %(deadline_id)s
    """,
)
BODY = "one transaction of four statements, psycopg"


def fire(connection: psycopg.Connection[Any], deadline_id: int) -> None:
    of = {"deadline_id": deadline_id}
    with connection.transaction():
        if connection.execute(CHANGE, of).rowcount:
            for statement in THEN:
                connection.execute(statement, of)


async def fire_async(connection: psycopg.AsyncConnection[Any], deadline_id: int) -> None:
    of = {"deadline_id": deadline_id}
    async with connection.transaction():
        if (await connection.execute(CHANGE, of)).rowcount:
            for statement in THEN:
                await connection.execute(statement, of)
