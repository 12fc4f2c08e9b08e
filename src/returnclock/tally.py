"""What one run of a task did, counted the same way by every verb. Imports lateness."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from returnclock.lateness import Lateness


@dataclass
class KindTally:
    """The counts of one kind of deadline within a run; lateness in seconds, spread out where deadlines fired."""

    examined: int = 0
    changed: int = 0
    queued: int = 0
    skipped: int = 0
    max_lateness_s: float = 0.0
    lateness: Lateness = field(default_factory=Lateness)

    def add(self, done: KindTally) -> None:
        """Add the counts of one batch; of the lateness the greater stays."""
        for name, value in done._counts().items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "max_lateness_s" else mine + value)
        self.lateness.add(done.lateness)

    def as_json(self) -> dict[str, Any]:
        """The counts that are not zero, and ``lateness_s`` (p50, p99, max) of the deadlines that fired."""
        counted: dict[str, Any] = {name: value for name, value in self._counts().items() if value}
        return counted | ({"lateness_s": self.lateness.as_json()} if self.lateness.count else {})

    def _counts(self) -> dict[str, float]:
        return {name: value for name, value in vars(self).items() if name != "lateness"}


@dataclass
class Tally:
    """The counts of a run.

    examined: rows that were looked at and taken in hand.
    changed: deadlines stamped, settled or fired; notices delivered.
    queued: notices put into the outbox.
    skipped: rows left alone, because a condition no longer held or because nothing had to be done.
    problems: rows that were set aside.
    backlog: rows that were due and are still waiting after the run.
    """

    problems: int = 0
    backlog: int = 0
    kinds: defaultdict[str, KindTally] = field(default_factory=lambda: defaultdict(KindTally))

    def of(self, kind: str) -> KindTally:
        """The counts of one kind, begun at zero."""
        return self.kinds[kind]

    def add(self, done: Tally) -> None:
        """Add the counts of one batch; the backlog is counted once, after all of them."""
        self.problems += done.problems
        for kind, counted in done.kinds.items():
            self.of(kind).add(counted)

    def total(self, name: str) -> int:
        """One count, over all kinds."""
        return sum(getattr(tally, name) for tally in self.kinds.values())

    @property
    def max_lateness_s(self) -> float:
        """Seconds between the due moment and the act, of the latest one."""
        return max((tally.max_lateness_s for tally in self.kinds.values()), default=0.0)

    def by_kind(self) -> dict[str, dict[str, Any]]:
        """The counts of each kind that did anything, ready for JSON."""
        counted = ((kind, tally.as_json()) for kind, tally in sorted(self.kinds.items()))
        return {kind: of for kind, of in counted if of}
