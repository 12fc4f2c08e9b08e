"""Unfinished interventions: holds that wait to be marked or ended, and vacations to be applied. Imports hold and vacation.

Whoever ordered one carries it out at once, and may die before that is done: every sweep comes back to it first.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from returnclock.database import reading, retried
from returnclock.interventions import Standing, standing
from returnclock.ops import hold, vacation
from returnclock.ops.targets import Desk


class Unfinished(NamedTuple):
    """Whether holds, and whether vacations wait to be carried out."""

    holds: bool
    vacations: bool


def unfinished(connection: Connection, now: datetime, stands: Standing) -> Unfinished:
    """What waits to be carried out; ``stands`` is what `interventions.standing` says."""
    return Unfinished(stands.held and hold.has_work(connection, now), stands.vacation_waits)


def carry_out(desk: Desk) -> list[Exception]:
    """Carry out what waits. Safe at any moment, by many at once.

    No deadline waits for what goes wrong here: that nothing takes effect under a hold, marked or not, is a condition of the
    claims themselves.

    Returns:
        what went wrong, to be raised once everything else is done.
    """
    waits = retried(partial(_waits_now, desk))
    faults = []
    for waiting, act in ((waits.holds, hold.enact), (waits.vacations, vacation.apply)):
        try:
            if waiting:
                act(desk)
        except Exception as fault:
            faults.append(fault)
    return faults


def _waits_now(desk: Desk) -> Unfinished:
    with reading(desk.engine) as connection:
        now = desk.clock.now(connection)
        return unfinished(connection, now, standing(connection, now))
