"""What a witness sees of a run. Imports nothing of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

_log = logging.getLogger(__name__)


class Witness(Protocol):
    """Is told when a run begins and when it has ended."""

    def begins(self, seen: Seen) -> None:
        """The run has an id, and begins. A tick that finds nothing to do never begins, and only ends."""

    def ended(self, seen: Seen) -> None:
        """The run has ended, and its row says how."""


@dataclass
class Seen:
    """One run as it is seen from outside.

    every: its task's interval in seconds. seconds: how long it took. notes: what witnesses keep between begin and end.
    """

    task: str
    trigger: str
    every: float
    witnesses: Sequence[Witness]
    run_id: int | None = None
    result: dict[str, Any] | None = None
    fault: BaseException | None = None
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def rests(self) -> bool:
        """Whether it was a tick of a task that is paused."""
        return "paused" in (self.result or {})

    def begins(self, run_id: int) -> None:
        """Tell all witnesses that it begins."""
        self.run_id = run_id
        self._tell(lambda witness: witness.begins(self))

    def ended(self) -> None:
        """Tell all witnesses that it has ended."""
        self._tell(lambda witness: witness.ended(self))

    def _tell(self, what: Callable[[Witness], None]) -> None:
        for witness in self.witnesses:
            try:
                what(witness)
            except Exception as fault:  # nothing that a witness does may fail a run
                _log.warning("%s could not be told of %s: %s", type(witness).__name__, self.task, fault)
