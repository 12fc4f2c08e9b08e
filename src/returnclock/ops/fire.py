"""Fire now: lets deadlines take effect before or at their time, because an operator says so. Imports firing and targets."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from returnclock import claims, holds
from returnclock.errors import Refused
from returnclock.firing import DigestHour, before_firing, fire
from returnclock.ops.targets import Desk, Pages, counted
from returnclock.ops.turn import in_turn
from returnclock.scopes import Scope


def fire_now(desk: Desk, scope: Scope, *, digest_at: DigestHour | None = None) -> dict[str, Any]:
    """Fire what runs and is still true, whether it is due or not; the ledger says who and why. In one transaction.

    What is held stays held: it is resumed first. Neither a pause, nor the burst cap, nor amnesty stops an operator.

    What other tables say of whether a deadline runs is locked as a sweep locks it: an answer there comes before, or after.

    Raises:
        Refused: the scope names one row, and nothing of it could be fired.
        CommitUncertain: as `in_turn` does.
    """

    def act(connection: Connection) -> dict[str, Any]:
        now = desk.clock.now(connection)
        pages = Pages(connection, whole=scope.is_one_row, beside=True)
        found = counted(connection, desk.book, scope, "running")
        binding = holds.standing(connection, now)
        fired, queued = 0, 0
        for kind in desk.book.active():
            true = claims.all_true(kind, *before_firing(kind)).where(scope.covers(kind), holds.not_held(kind, binding))
            for ready in pages.of(true, kind):
                fired += len(ready)
                if ready and not desk.dry_run:
                    by_hand = {**desk.said(), "by_hand": True}
                    queued += fire(connection, kind, desk.hand, now, ready, digest_at=digest_at, by_hand=by_hand)
        if scope.is_one_row and not fired:
            raise Refused(reason=f"{scope} cannot be fired: nothing of it runs and is still true, or it is held.")
        result = {"scope": scope.document(), **desk.said(), "matched": sum(found.values()), "left": pages.left}
        done = {"would": fired, "fired": 0 if desk.dry_run else fired, "queued": queued}
        return {**result, **done, "dry_run": desk.dry_run}

    return in_turn(desk.engine, act, str(scope))
