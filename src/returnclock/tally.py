"""What one run of a task did, counted the same way by every verb. Imports nothing of ours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class KindTally:
    """The counts of one kind of deadline within a run; lateness in seconds."""

    examined: int = 0
    changed: int = 0
    queued: int = 0
    skipped: int = 0
    max_lateness_s: float = 0.0

    def add(self, done: KindTally) -> None:
        """Add the counts of one batch; of the lateness the greater stays."""
        for name, value in vars(done).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "max_lateness_s" else mine + value)


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

    def by_kind(self) -> dict[str, dict[str, float]]:
        """The counts of each kind that did anything, ready for JSON."""
        return {
            kind: {name: value for name, value in vars(tally).items() if value}
            for kind, tally in sorted(self.kinds.items())
            if any(vars(tally).values())
        }
