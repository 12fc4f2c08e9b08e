"""What each page shows, read in one short transaction: plain values for the templates. Imports the nouns and wiring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, select

from returnclock import health, vitals
from returnclock.database import reading
from returnclock.explain import explain
from returnclock.forecast import forecast
from returnclock.likeness import alike
from returnclock.settings import seconds
from returnclock.tables.clock import deadlines, is_dead, is_open, is_running, is_unsent, outbox, problems, runs
from returnclock.web.chart import Chart
from returnclock.web.timeline import timeline
from returnclock.wiring import Wiring

STATEMENT_S = 5
ROWS = 100
DAYS = 14
_RUNS = 500
Page = dict[str, Any]


class Pages:
    """The pages of one deployment."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def overview(self) -> Page:
        """How it stands, on one page: the worst first."""
        return self._read(self._overview)

    def late(self) -> Page:
        """What is due and not enforced, the latest first."""
        return self._read(lambda c, now: {"rows": self._rows(c, now, late=True), "is_late": True, "limit": ROWS})

    def coming(self) -> Page:
        """What falls due next, and the forecast."""
        return self._read(lambda c, now: {"rows": self._rows(c, now, late=False), "limit": ROWS, "chart": self._chart(c, now)})

    def runs(self) -> Page:
        """The newest runs that did something, and the failures among them by their error."""
        return self._read(self._runs)

    def notices(self) -> Page:
        """Dead notices, and those that wait."""
        return self._read(self._notices)

    def problems(self) -> Page:
        """The rows that were set aside."""
        return self._read(self._problems)

    def case(self, table: str, identity: str) -> Page:
        """One row's story.

        Raises:
            NotFound: there is no such row.
        """

        def told(connection: Connection, now: datetime) -> Page:
            explanation = explain(connection, self._wiring.rulebook, self._wiring.settings.mail, table, identity, now)
            return {"case": explanation, "stories": [(story, timeline(story, now)) for story in explanation.stories]}

        return self._read(told)

    def _read(self, page: Callable[[Connection, datetime], Page]) -> Page:
        with reading(self._wiring.engine, within_s=STATEMENT_S) as connection:
            now = self._wiring.clock.now(connection)
            tables = sorted({kind.subject.name for kind in self._wiring.kinds})
            return {"now": now, "tables": tables, **page(connection, now)}

    def _overview(self, connection: Connection, now: datetime) -> Page:
        active = self._wiring.rulebook.active()
        backlogs = {kind.name: vitals.overdue(connection, kind, now) for kind in active}
        late = {name: waiting for name, waiting in backlogs.items() if waiting.oldest_s > self._wiring.late_limit(name)}
        held = {kind.name: vitals.held(connection, kind) for kind in active}
        pauses = health.standing_pauses(connection, self._wiring.rulebook, now)
        holds = health.standing_holds(connection, self._wiring.rulebook, now)
        unwarned = {kind.name: vitals.unwarned(connection, kind, now) for kind in active}
        tasks = self._tasks(connection, now)
        waiting = vitals.waiting_notices(connection, now)
        return {
            "late": late,
            "due": sum(backlog.count for backlog in backlogs.values()),
            "oldest_s": max((backlog.oldest_s for backlog in late.values()), default=0.0),
            "soon": sum(vitals.falling_due(connection, kind, now, now + timedelta(hours=1)) for kind in active),
            "held": sum(held.values()),
            "kinds": [
                {
                    "name": kind.name,
                    "due": backlogs[kind.name],
                    "late": kind.name in late,
                    "held": held[kind.name],
                    "unwarned": unwarned[kind.name],
                    "warns": vitals.warns(kind),
                }
                for kind in active
            ],
            "unwarned": sum(unwarned.values()),
            "pauses": pauses,
            "forgotten": sorted((one for one in holds if one["too_long"]), key=itemgetter("since")),
            "tasks": tasks,
            "stale": [task["name"] for task in tasks if task["stale"]],
            "failing": [task["name"] for task in tasks if task["failing"]],
            "changes": vitals.unstamped(connection, now),
            "waiting": sum(backlog.count for backlog in waiting.values()),
            "dead": vitals.dead_notices(connection),
            "problems": sum(vitals.open_problems(connection).values()),
            "next": self._rows(connection, now, late=False)[:6],
            "chart": self._chart(connection, now),
            "cap": vitals.CAP,
        }

    def _tasks(self, connection: Connection, now: datetime) -> list[dict[str, Any]]:
        told = []
        for name in self._wiring.tasks:
            fares = vitals.task(connection, name)
            every = seconds(self._wiring.settings.ticks.of(name))
            age = (now - fares.succeeded_at).total_seconds() if fares.succeeded_at else None
            told.append({"name": name, "every": every, "stale": health.is_stale(age, every), **vars(fares)})
        return told

    def _rows(self, connection: Connection, now: datetime, *, late: bool) -> list[Any]:
        found: list[Any] = []
        for kind in self._wiring.rulebook.active():
            names = ("id", "kind", "subject_id", "party", "promised_at", "due_at")
            chosen = select(*(deadlines.c[name] for name in names)).where(deadlines.c.kind == kind.name, is_running)
            chosen = chosen.where(deadlines.c.due_at <= now if late else deadlines.c.due_at > now)
            rows = connection.execute(chosen.order_by(deadlines.c.due_at, deadlines.c.id).limit(ROWS))
            found += [{**row._mapping, "table": kind.subject.name} for row in rows]
        return sorted(found, key=lambda row: row["due_at"])[:ROWS]

    def _chart(self, connection: Connection, now: datetime) -> Chart:
        """What falls due on each of the next days, as the market's own zone has them."""
        return Chart(forecast(connection, self._wiring.rulebook, now, DAYS, at_most=vitals.CAP))

    def _runs(self, connection: Connection, now: datetime) -> Page:
        chosen = select(runs).where(runs.c.idle.is_not(True)).order_by(runs.c.id.desc()).limit(_RUNS)
        found = connection.execute(chosen).all()
        errors = Counter((run.task, alike(run.error or "")) for run in found if run.state == "failed")
        return {"rows": found[:ROWS], "errors": errors.most_common(20), "looked_at": len(found), "limit": ROWS}

    def _notices(self, connection: Connection, now: datetime) -> Page:
        subject = (outbox, deadlines.c.subject_id)
        chosen = select(*subject).join(deadlines, deadlines.c.id == outbox.c.deadline_id)
        dead = connection.execute(chosen.where(is_dead).order_by(outbox.c.queued_at.desc()).limit(ROWS)).all()
        waiting = chosen.where(is_unsent, outbox.c.next_attempt_at.is_not(None)).order_by(outbox.c.next_attempt_at)
        tables = {kind.name: kind.subject.name for kind in self._wiring.kinds}
        return {
            "dead": dead,
            "errors": Counter(alike(notice.error or "") for notice in dead).most_common(10),
            "waiting": connection.execute(waiting.limit(ROWS)).all(),
            "table_of": tables,
            "limit": ROWS,
        }

    def _problems(self, connection: Connection, now: datetime) -> Page:
        chosen = select(problems).where(is_open).order_by(problems.c.first_seen_at.desc()).limit(ROWS)
        return {"rows": connection.execute(chosen).all(), "limit": ROWS}
