"""What the demo's database says happened, read by SQL, and how that compares with the recount. Read-only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, exists, func, or_, select

from returnclock.database import reading
from returnclock.demo.recount import Key, Recount
from returnclock.kinds import DeadlineKind
from returnclock.tables.clock import deadlines, events, outbox
from returnclock.telemetry import Event

WARNINGS = ("reminder", "warning")


@dataclass
class KindFindings:
    """One kind's numbers: deadlines by how they ended, notices by what became of them, lateness in seconds.

    latest_s: of the firing that came longest after its due moment, as the recount knows that moment.
    """

    stamped: int = 0
    running: int = 0
    met: int = 0
    fired: int = 0
    void: int = 0
    reminders_sent: int = 0
    reminders_skipped: int = 0
    notices_delivered: int = 0
    latest_s: float = 0.0


@dataclass
class Findings:
    """The result of a performance.

    checked: how many firings were compared. early: firings before the moment that the recount allows, or of rows that were
    answered in time or never ran. lost: what had to fire at a tick and did not, or left no effect, or of which nobody was
    told. twice: firings and letters beyond the first. unexplained: deadlines of which the ledger does not tell how they
    were counted.
    """

    by_kind: dict[str, KindFindings] = field(default_factory=dict)
    by_day: dict[str, dict[date, int]] = field(default_factory=dict)
    checked: int = 0
    early: int = 0
    lost: int = 0
    twice: int = 0
    unexplained: int = 0
    letters: int = 0

    @property
    def promise_kept(self) -> bool:
        """Never early, never lost, never twice, always explained."""
        return not (self.early or self.lost or self.twice or self.unexplained)

    def as_json(self) -> dict[str, Any]:
        """The same in JSON types."""
        days = {name: {day.isoformat(): count for day, count in per.items()} for name, per in self.by_day.items()}
        return asdict(self) | {"by_day": days, "promise_kept": self.promise_kept}


def find(
    engine: Engine, kinds: Sequence[DeadlineKind], recount: Recount, handed_over: Mapping[str, int], end: datetime
) -> Findings:
    """Read the database as it stands and compare it with what should have happened and what the mailer was handed."""
    findings = Findings({kind.name: KindFindings() for kind in kinds}, letters=sum(handed_over.values()))
    with reading(engine) as connection:
        _count_deadlines(connection, findings)
        _count_notices(connection, findings)
        fired = _firings(connection, kinds)
        _compare(findings, recount, fired)
        findings.lost += sum(_without_effect(connection, kind) + _untold(connection, kind) for kind in kinds)
        findings.lost += _undelivered(connection, handed_over, end)
        findings.twice += sum(times - 1 for times in handed_over.values())
        findings.unexplained = _unexplained(connection)
        findings.by_day = _by_day(connection, {kind.event for kind in kinds})
    return findings


def _count_deadlines(connection: Connection, findings: Findings) -> None:
    chosen = select(deadlines.c.kind, deadlines.c.state, func.count().label("n"))
    for row in connection.execute(chosen.group_by(deadlines.c.kind, deadlines.c.state)):
        of = findings.by_kind[row.kind]
        state = "running" if row.state == "held" else row.state
        setattr(of, state, getattr(of, state) + row.n)
        of.stamped += row.n


def _count_notices(connection: Connection, findings: Findings) -> None:
    sent = select(outbox.c.kind, outbox.c.notice, func.count().label("n")).where(outbox.c.state == "sent")
    for row in connection.execute(sent.group_by(outbox.c.kind, outbox.c.notice)):
        of = findings.by_kind[row.kind]
        name = "reminders_sent" if row.notice in WARNINGS else "notices_delivered"
        setattr(of, name, getattr(of, name) + row.n)
    stale = select(events.c.kind, func.count().label("n")).where(events.c.event == Event.REMINDER_SKIPPED)
    for row in connection.execute(stale.group_by(events.c.kind)):
        findings.by_kind[row.kind].reminders_skipped = row.n


def _firings(connection: Connection, kinds: Iterable[DeadlineKind]) -> dict[Key, list[datetime]]:
    """When the ledger says that each deadline fired."""
    is_firing = or_(*(and_(events.c.kind == kind.name, events.c.event == kind.event) for kind in kinds))
    chosen = select(events.c.kind, events.c.subject_id, deadlines.c.starts_at, events.c.at)
    chosen = chosen.join(deadlines, deadlines.c.id == events.c.deadline_id).where(is_firing)
    fired: defaultdict[Key, list[datetime]] = defaultdict(list)
    for row in connection.execute(chosen.order_by(events.c.id)):
        fired[row.kind, row.subject_id, row.starts_at].append(row.at)
    return fired


def _compare(findings: Findings, recount: Recount, fired: Mapping[Key, Sequence[datetime]]) -> None:
    findings.checked = sum(len(moments) for moments in fired.values())
    for key, moments in fired.items():
        due, tick = recount.due.get(key), recount.expected.get(key)
        findings.twice += len(moments) - 1
        if due is None or tick is None or moments[0] < due:
            findings.early += 1
        else:
            of = findings.by_kind[key[0]]
            of.latest_s = max(of.latest_s, (moments[0] - due).total_seconds())
    # A deadline that was overlooked at the first tick that could fire it would have been lost without a second.
    findings.lost += sum(1 for key, tick in recount.expected.items() if not fired.get(key) or fired[key][0] > tick)


def _without_effect(connection: Connection, kind: DeadlineKind) -> int:
    """Fired deadlines whose row does not show it."""
    if not kind.effect:
        return 0
    shown = exists().where(kind.binds(), *(kind.subject.c[name].is_not(None) for name in kind.effect))
    chosen = select(func.count()).select_from(deadlines).where(deadlines.c.kind == kind.name, deadlines.c.state == "fired")
    return int(connection.execute(chosen.where(~shown.correlate(deadlines))).scalar_one())


def _untold(connection: Connection, kind: DeadlineKind) -> int:
    """Notices that firing owed to somebody and that were never queued."""
    fired = select(func.count()).select_from(deadlines).where(deadlines.c.kind == kind.name, deadlines.c.state == "fired")
    queued = select(func.count()).select_from(outbox).where(outbox.c.kind == kind.name, outbox.c.notice.not_in(WARNINGS))
    owed = int(connection.execute(fired).scalar_one()) * len(kind.notices_for("outcome"))
    return max(0, owed - int(connection.execute(queued).scalar_one()))


def _undelivered(connection: Connection, handed_over: Mapping[str, int], end: datetime) -> int:
    """Notices that were due for delivery and still wait or are dead, or that are marked as sent and never were."""
    waiting = and_(outbox.c.state.in_(("queued", "sending")), outbox.c.next_attempt_at <= end)
    chosen = select(func.count()).select_from(outbox).where(or_(waiting, outbox.c.state == "dead"))
    sent = connection.execute(select(outbox.c.message_id).where(outbox.c.state == "sent").distinct()).scalars()
    return int(connection.execute(chosen).scalar_one()) + sum(1 for each in sent if each not in handed_over)


def _unexplained(connection: Connection) -> int:
    """Deadlines of which the ledger does not tell step by step how their date was counted."""
    told = select(events.c.deadline_id, events.c.detail).where(events.c.event == Event.STAMPED)
    explained = {row.deadline_id for row in connection.execute(told) if row.detail and row.detail.get("steps")}
    return sum(1 for each in connection.execute(select(deadlines.c.id)).scalars() if each not in explained)


def _by_day(connection: Connection, firings: set[str]) -> dict[str, dict[date, int]]:
    """How often each event happened on each day, in UTC."""
    counted: defaultdict[str, Counter[date]] = defaultdict(Counter)
    shown = {*firings, Event.REMINDER_QUEUED.value, Event.REMINDER_SKIPPED.value, Event.SPARED.value, Event.NOTICE_SENT.value}
    chosen = select(events.c.event, events.c.at).where(events.c.event.in_(sorted(shown)))
    for row in connection.execute(chosen.order_by(events.c.id)):
        counted[row.event][row.at.date()] += 1
    return {name: dict(days) for name, days in counted.items()}
