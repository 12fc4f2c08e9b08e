"""One transaction of an intervention: begun anew where that can do nothing twice, and while somebody has its row in hand.

Imports database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import sleep
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from returnclock.database import retried, writing
from returnclock.errors import CommitUncertain, Refused
from returnclock.sqlstates import is_lost

T = TypeVar("T")

# Ten seconds. Between two looks nothing is locked: who waited with a deadline under lock would stop the stamping of others.
LOOKS, PAUSE_S = 100, 0.1


class InHand(Exception):
    """Somebody has a row in hand without which the intervention would be half done."""


def in_turn(engine: Engine, act: Callable[[Connection], T], what: str) -> T:
    """Do what an intervention does in a transaction of its own. One that was rolled back, for whatever passes, is begun anew.

    ``act`` raises `InHand` where somebody has its row; ``what`` names that row.

    Raises:
        Refused: somebody still had it in hand after ten seconds.
        CommitUncertain: the connection was lost while it was committed; done anew, it might be done twice.
    """
    for looks_left in reversed(range(LOOKS)):
        try:
            return retried(partial(_once, engine, act, what))
        except InHand:
            if looks_left:
                sleep(PAUSE_S)
    raise Refused(reason=f"{what}: somebody is changing it just now, so nothing was done. Look, and do it again.")


def _once(engine: Engine, act: Callable[[Connection], T], what: str) -> T:
    is_done = False
    try:
        with writing(engine) as connection:
            result = act(connection)
            is_done = True
    except DBAPIError as fault:
        if is_done and is_lost(fault):
            raise CommitUncertain(what=what) from fault
        raise
    return result
