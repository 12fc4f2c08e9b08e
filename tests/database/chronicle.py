"""What a market's stories must never do, checked after each of their steps; it counts time by adding up spans, and no days."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import text

from returnclock.kinds import KINDS
from returnclock.tables.clock import LIVE_STATES, deadlines, events, outbox
from returnclock.tables.types import read_instant
from tests.database.market import DAY, Market

FIRED = {kind.name: kind.event for kind in KINDS}
TABLE = {kind.name: kind.subject.name for kind in KINDS}
BEGINNINGS = ("deadline:stamped", "deadline:reopened", "deadline:undone")
FAIR = 2 * DAY  # what an undone dispute gets: what its first reminder leaves

Named = tuple[str | None, str | None, str | None]  # kind, table, id of a row; None is any


@dataclass
class Hold:
    """One hold as it was ordered; ``left``: what was taken out of it, and when."""

    start: datetime
    end: datetime | None
    of: Named
    left: list[tuple[Named, datetime]] = field(default_factory=list)

    def spans(self, kind: str, row: str, now: datetime) -> tuple[datetime, datetime]:
        ends = [at for of, at in self.left if meant(of, kind, row)] + ([self.end] if self.end else [])
        return self.start, min([now, *ends])

    def covers(self, kind: str, row: str, now: datetime) -> bool:
        return (
            meant(self.of, kind, row) and self.start <= now < (self.end or now + DAY) and self.spans(kind, row, now)[1] == now
        )


def meant(of: Named, kind: str, row: str) -> bool:
    return of[0] in (None, kind) and of[1] in (None, TABLE[kind]) and of[2] in (None, row)


@dataclass
class Chronicle:
    """Follows one market. ``shortest``: the least time that any policy of the story gives, by kind."""

    market: Market
    shortest: dict[str, timedelta]
    holds: dict[int, Hold] = field(default_factory=dict)
    away: defaultdict[int, set[date]] = field(default_factory=lambda: defaultdict(set))
    added: defaultdict[int, list[tuple[datetime, timedelta]]] = field(default_factory=lambda: defaultdict(list))
    floor: dict[int, datetime] = field(default_factory=dict)
    told: dict[int, datetime] = field(default_factory=dict)
    last_event: int = 0

    def look(self) -> None:
        """Check what the last step did."""
        now = self.market.clock.at
        kept = {row.id: row for row in self.market.rows(deadlines)}
        history = defaultdict(list)
        for event in self.market.rows(events):
            if event.deadline_id is not None:
                history[event.deadline_id].append(event)
        for number, happened in history.items():
            for position, event in enumerate(happened):
                if event.id > self.last_event:
                    self._happened(kept[number], happened[: position + 1], event)
        self.last_event = max((event.id for of in history.values() for event in of), default=0)
        for row in kept.values():
            if row.state in LIVE_STATES:
                self.floor[row.id] = row.promised_at
                assert row.due_at >= row.promised_at
        for notice in self.market.rows(outbox, notice="reminder", state="sent"):
            if notice.sent_at == now and kept[notice.deadline_id].state in LIVE_STATES:
                self.told[notice.deadline_id] = max(now, kept[notice.deadline_id].promised_at)
        sent = Counter(message.message_id for message in self.market.mailer.taken)
        assert not [key for key, times in sent.items() if times > 1], "a letter went out twice"
        self._shown()
        self._explained(kept)

    def _happened(self, row: Any, history: list[Any], event: Any) -> None:
        detail = event.detail or {}
        was, becomes = (
            datetime.fromisoformat(detail[name]) if name in detail else None for name in ("was_promised_at", "promised_at")
        )
        if was and becomes:
            assert becomes >= was, f"{event.event} took time away: {was} to {becomes}"
        if event.event != FIRED[row.kind]:
            return
        fired = [one for one in history if one.event == FIRED[row.kind]]
        again = [one for one in history if one.event in BEGINNINGS[1:]]
        assert len(fired) <= 1 + len(again), "it fired twice"
        if detail.get("by_hand"):
            return
        assert event.at >= self.floor.get(row.id, row.promised_at), "it fired before its communicated date"
        assert event.at >= self.told.get(row.id, event.at), "it fired before the date of a letter"
        self._had_its_time(row, history, event.at)

    def _had_its_time(self, row: Any, history: list[Any], at: datetime) -> None:
        """The time that neither a hold nor a vacation covered is at least what the policy and the extensions give."""
        begun = [one for one in history if one.event in BEGINNINGS][-1]
        since = begun.at if (begun.detail or {}).get("anew") else row.starts_at
        wanted = FAIR if begun.event == BEGINNINGS[2] else self.shortest[row.kind]
        wanted = min(wanted, self.shortest[row.kind])
        stamped = history[0].at
        covered = [
            one.spans(row.kind, row.subject_id, at) for one in self.holds.values() if meant(one.of, row.kind, row.subject_id)
        ]
        covered = [(start, end) for start, end in covered if end > max(start, stamped)]
        away = self._away(row)
        covered += [(begin, begin + DAY) for begin in (datetime.combine(day, time(), UTC) for day in away)]
        left = at - since - union(covered, since, at)
        # The day of the event is not counted: what of it falls into a vacation is not given back.
        slack = DAY if away else timedelta()
        assert left >= wanted - slack, f"{row.kind} {row.subject_id} had {left} of {wanted} since {since}, covered {covered}"
        assert not [one for one in self.holds.values() if one.covers(row.kind, row.subject_id, at)], "it fired under a hold"

    def _away(self, row: Any) -> set[date]:
        if row.party != "seller":
            return set()
        asked = text(f"SELECT o.seller_id FROM {TABLE[row.kind]} s JOIN orders o ON o.id = s.order_id WHERE s.id = :id")
        with self.market.front_end.connect() as connection:
            seller = connection.execute(asked, {"id": int(row.subject_id)}).scalar()
        return self.away[seller] if seller else set()

    def _shown(self) -> None:
        with self.market.front_end.connect() as connection:
            for row in connection.execute(text("SELECT * FROM clock_due WHERE state IN ('running', 'held')")).mappings():
                promised = read_instant(row["promised_at"])
                assert isinstance(promised, datetime)
                end = datetime.combine(date.fromisoformat(row["last_day"]) + DAY, time(), UTC)
                if row["ends"] == "end_of_day":
                    assert promised == end, "the view shows another day"
                else:
                    assert end - DAY <= promised < end or promised == end, "the view shows another day"

    def _explained(self, kept: dict[int, Any]) -> None:
        for table, row in sorted({(TABLE[one.kind], one.subject_id) for one in kept.values()})[-2:]:
            told = self.market.explain(table, row)
            assert all(story.summary and story.steps for story in told.stories)


def union(spans: list[tuple[datetime, datetime]], since: datetime, until: datetime) -> timedelta:
    """How much of the time between two moments the spans cover."""
    total, reached = timedelta(), since
    for start, end in sorted(spans):
        if min(end, until) > max(start, reached):
            total += min(end, until) - max(start, reached)
            reached = min(end, until)
    return total
