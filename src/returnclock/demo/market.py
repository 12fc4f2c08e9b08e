"""The demo's front end: does the story's writes in plain SQL, and tells the recount of those that took effect."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, insert, update

from returnclock.database import writing
from returnclock.demo.recount import Recount
from returnclock.demo.story import Act


class FrontEnd:
    """Works through a story. It never waits for the clock, and does not know whether it is running."""

    def __init__(self, engine: Engine, story: Sequence[Act], recount: Recount) -> None:
        self._engine = engine
        self._ahead = deque(story)
        self._recount = recount

    def work_until(self, moment: datetime) -> list[str]:
        """Do every write up to the moment, in one transaction.

        Returns:
            what a spectator is told.
        """
        news = []
        with writing(self._engine) as connection:
            while self._ahead and self._ahead[0].at <= moment:
                act = self._ahead.popleft()
                if self._did(connection, act):
                    self._recount.wrote(act.table.name, act.id, act.values)
                    news += [act.news] if act.news else []
        return news

    @staticmethod
    def _did(connection: Connection, act: Act) -> bool:
        if act.guard is None:
            connection.execute(insert(act.table).values(id=act.id, **act.values))
            return True
        still = [act.table.c[name].in_(allowed) for name, allowed in act.guard.items()]
        changed = connection.execute(update(act.table).where(act.table.c.id == act.id, *still).values(act.values))
        return changed.rowcount == 1
