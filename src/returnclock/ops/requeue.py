"""Requeue: dead or suppressed notices are queued again, because an operator says so. Imports outbox and turn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from returnclock import outbox
from returnclock.ops.targets import Desk
from returnclock.ops.turn import in_turn


def requeue(desk: Desk, ids: Sequence[int], *, kind: str | None = None, group: str | None = None) -> dict[str, Any]:
    """Queue these notices again, or where no id is named all dead ones, of a kind or a group of errors if that is named.

    Raises:
        CommitUncertain: as `in_turn` does. Done again, it would find nothing dead, and say so of what it has done.
    """
    done = in_turn(desk.engine, partial(_requeue, desk, ids, kind, group), "the notices")
    requeued = [] if desk.dry_run else done
    left_alone = sorted(set(ids) - set(done))
    return {**desk.said(), "matched": len(done), "requeued": requeued, "left_alone": left_alone, "dry_run": desk.dry_run}


def _requeue(desk: Desk, ids: Sequence[int], kind: str | None, group: str | None, connection: Connection) -> list[int]:
    now, named = desk.clock.now(connection), list(ids) or None
    how: dict[str, Any] = {"kind": kind, "group": group, "dry_run": desk.dry_run}
    return outbox.requeue(connection, desk.hand, now, named, desk.reason, **how)
