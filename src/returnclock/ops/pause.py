"""Pause and unpause: a task or a kind rests, for every worker, from its next tick on. Imports pauses and turn."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from returnclock import pauses
from returnclock.errors import BadUsage, Refused
from returnclock.ops.targets import Desk
from returnclock.ops.turn import in_turn


def pause(desk: Desk, what: str, name: str, until: datetime | None = None) -> dict[str, Any]:
    """Let a task or a kind (``what``) of this name rest, until a moment or until it is unpaused.

    Raises:
        BadUsage: it would end before now.
        CommitUncertain: as `in_turn` does.
    """
    return in_turn(desk.engine, partial(_pause, desk, what, name, until), name)


def _pause(desk: Desk, what: str, name: str, until: datetime | None, connection: Connection) -> dict[str, Any]:
    now = desk.clock.now(connection)
    if until is not None and until <= now:
        raise BadUsage(reason=f"The pause would end at {until:%Y-%m-%d %H:%M:%S} UTC, which is past.")
    number = None if desk.dry_run else pauses.begin(connection, desk.hand, now, what, name, desk.reason, until)
    return {"pause": number, "what": what, "name": name, **desk.said(), "until": until, "dry_run": desk.dry_run}


def unpause(desk: Desk, what: str, name: str) -> dict[str, Any]:
    """End every pause of a task or a kind.

    Raises:
        Refused: it does not rest.
        CommitUncertain: as `in_turn` does.
    """
    return in_turn(desk.engine, partial(_unpause, desk, what, name), name)


def _unpause(desk: Desk, what: str, name: str, connection: Connection) -> dict[str, Any]:
    now = desk.clock.now(connection)
    if pauses.of(connection, now, what, name) is None:
        raise Refused(reason=f"{name} is not paused; there is nothing to unpause.")
    ended = 0 if desk.dry_run else pauses.end(connection, desk.hand, now, what, name, desk.reason)
    return {"what": what, "name": name, **desk.said(), "ended": ended, "dry_run": desk.dry_run}
