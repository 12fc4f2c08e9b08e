"""Follows ``clock_events`` and ``clock_problems`` as any front end may, and joins what a reader wants to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select

from returnclock.database import reading
from returnclock.follow import Follower
from returnclock.kinds import DeadlineKind
from returnclock.tables.clock import deadlines, outbox, policies, problems
from returnclock.tables.keys import among

AT_ONCE = 5000


@dataclass(frozen=True)
class Happening:
    """One event with its surroundings; ``matter`` names the deadline ("the seller's answer")."""

    at: datetime
    event: str
    subject: str
    subject_id: str
    matter: str = ""
    due_at: datetime | None = None
    period: str = ""
    recipient: str = ""
    letter: Path | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class Feed:
    """What happened since the last look; begins with what comes after it is made."""

    def __init__(
        self,
        engine: Engine,
        kinds: Sequence[DeadlineKind],
        letter_of: Callable[[str], Path] | None = None,
    ) -> None:
        """``letter_of`` finds the file of a notice by its Message-ID, where notices are kept as files."""
        self._engine = engine
        self._kinds = {kind.name: kind for kind in kinds}
        self._letter_of = letter_of
        self._follower = Follower(engine)
        self._untold: list[Row[Any]] = []
        with reading(engine) as connection:
            self._last_problem = int(connection.execute(select(func.coalesce(func.max(problems.c.id), 0))).scalar_one())

    def news(self) -> list[Happening]:
        """The events and problems that are new since the last call, in their order.

        Raises:
            DatabaseUnreachable: nothing is missed; the next call that succeeds tells it all.
        """
        # The follower does not hand a row out twice, so what cannot be told now is kept here until it can.
        rows = self._untold = [*self._untold, *self._follower.news()]
        with reading(self._engine) as connection:
            recipients = self._recipients(connection, rows)
            dates = self._dates(connection, rows)
            told = [self._happening(row, dates, recipients) for row in rows] + self._problems(connection)
        self._untold = []
        return told

    @staticmethod
    def _dates(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, Any]:
        """When each of the deadlines is due, and by which policy."""
        chosen = select(deadlines.c.id, deadlines.c.due_at, policies.c.definition)
        chosen = chosen.join(policies, policies.c.id == deadlines.c.policy_id)
        found = connection.execute(
            chosen.where(among(deadlines.c.id, sorted({row.deadline_id for row in rows if row.deadline_id})))
        )
        return {row.id: row for row in found}

    @staticmethod
    def _recipients(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, str]:
        ids = [row.detail["outbox_id"] for row in rows if row.detail and "outbox_id" in row.detail]
        if not ids:
            return {}
        chosen = select(outbox.c.id, outbox.c.recipient).where(outbox.c.id.in_(ids))
        return {row.id: row.recipient or "" for row in connection.execute(chosen)}

    def _happening(self, row: Row[Any], dates: Mapping[int, Any], recipients: Mapping[int, str]) -> Happening:
        detail, date = row.detail or {}, dates.get(row.deadline_id)
        kind = self._kinds.get(row.kind)
        letter = self._letter_of(detail["message_id"]) if self._letter_of and detail.get("message_id") else None
        return Happening(
            at=row.at,
            event=row.event,
            subject=kind.subject.name.removesuffix("s") if kind else row.kind or "",
            subject_id=row.subject_id or "",
            matter=kind.title if kind else row.kind or "",
            due_at=date.due_at if date else None,
            period=str(date.definition.get("period", "")) if date else "",
            recipient=recipients.get(detail.get("outbox_id", 0), ""),
            letter=letter,
            detail=detail,
        )

    def _problems(self, connection: Connection) -> list[Happening]:
        chosen = select(problems).where(problems.c.id > self._last_problem, problems.c.resolved_at.is_(None))
        rows = connection.execute(chosen.order_by(problems.c.id).limit(AT_ONCE)).all()
        if rows:
            self._last_problem = rows[-1].id
        return [
            Happening(row.first_seen_at, "row:problem", row.table_name, row.subject_id, detail={"reason": row.problem})
            for row in rows
        ]
