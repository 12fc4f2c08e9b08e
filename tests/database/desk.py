"""An operator at one market: the interventions as the command calls them, under the clock of the test."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from returnclock.database import reading
from returnclock.jobs import next_digest
from returnclock.ledger import Hand
from returnclock.ops import hold as room
from returnclock.ops import resume as resuming
from returnclock.ops.extend import extend
from returnclock.ops.fire import fire_now
from returnclock.ops.targets import Desk, scope_of
from returnclock.ops.undo import undo
from returnclock.scopes import Scope
from tests.database.market import Market


class Operator:
    """Maria, who says why."""

    def __init__(self, market: Market) -> None:
        self.market = market

    def desk(self, dry_run: bool = False) -> Desk:
        wiring = self.market.wiring
        return Desk(wiring.engine, self.market.clock, wiring.rulebook, Hand("maria"), "the shop was down", dry_run)

    def scope(self, *words: Any, kind: str | None = None, everything: bool = False, **where: Any) -> Scope:
        named = {name: str(value) for name, value in where.items()}
        with reading(self.market.engine) as connection:
            return scope_of(connection, self.market.wiring.rulebook, [str(word) for word in words], kind, named, everything)

    def at(self, moment: datetime | None) -> None:
        if moment is not None:
            self.market.clock.at = moment

    def hold(
        self, *words: Any, at: datetime | None = None, starts: Any = None, ends: Any = None, **where: Any
    ) -> dict[str, Any]:
        self.at(at)
        return room.hold(self.desk(), self.scope(*words, **where), starts_at=starts, ends_at=ends)

    def resume(self, *words: Any, at: datetime | None = None) -> dict[str, Any]:
        self.at(at)
        return resuming.resume_row(self.desk(), self.scope(*words))

    def resume_hold(self, number: int, at: datetime | None = None) -> dict[str, Any]:
        self.at(at)
        return resuming.resume_hold(self.desk(), number)

    def enact(self, at: datetime | None = None) -> dict[str, int]:
        self.at(at)
        return room.enact(self.desk())

    def extend(self, *words: Any, at: datetime | None = None, dry_run: bool = False, **how: Any) -> dict[str, Any]:
        self.at(at)
        return extend(self.desk(dry_run), self.scope(*words), **how)

    def fire(self, *words: Any, at: datetime | None = None, **where: Any) -> dict[str, Any]:
        self.at(at)
        return fire_now(self.desk(), self.scope(*words, **where), digest_at=partial(next_digest, self.market.wiring))

    def undo(self, *words: Any, at: datetime | None = None, dry_run: bool = False, **where: Any) -> dict[str, Any]:
        self.at(at)
        return undo(self.desk(dry_run), self.scope(*words, **where))
