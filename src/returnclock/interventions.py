"""Whether anything keeps deadlines from their course: a pause, a hold, a vacation, a refusal. Nearly always nothing does.

One question, so that a tick with nothing to do, and a batch under no order, ask the database once and not three times. Who
learns that there is something asks the room that knows it. Imports holds, pauses and vacations.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, exists, or_, select

from returnclock import holds, pauses
from returnclock.tables.clock import is_set_aside
from returnclock.tables.interventions import is_unsettled
from returnclock.tables.types import Instant
from returnclock.vacations import taken_back_since

_NOW = bindparam("now", type_=Instant())
_STANDING = select(
    exists().where(*pauses.in_force(_NOW)).label("paused"),
    exists().where(*holds.begun(_NOW)).label("held"),
    # Two questions, each with an index: a database that is asked both in one may read the table whole.
    or_(exists().where(is_unsettled), exists().where(taken_back_since(_NOW))).label("vacation_waits"),
    exists().where(is_set_aside).label("set_aside"),
)


class Standing(NamedTuple):
    """What stands at a moment.

    paused: a task or a kind rests. held: a hold has begun and is not done. vacation_waits: one was announced or
    taken back, and not all deadlines that it moves are moved yet. set_aside: the database refused the effect of a deadline.
    """

    paused: bool
    held: bool
    vacation_waits: bool
    set_aside: bool


def standing(connection: Connection, now: datetime) -> Standing:
    """What stands now."""
    return Standing(*map(bool, connection.execute(_STANDING, {"now": now}).one()))
