"""The turnstile: a row of ``clock_bursts`` for each thing that is done by one at a time, locked until its transaction ends.

Imports database.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from returnclock.database import insert_new
from returnclock.tables.interventions import bursts


def passed(connection: Connection, name: str, now: datetime) -> Row[Any]:
    """Wait until nobody else is between here and the end of a transaction under this name.

    The row is written when it is first asked for. Refused: to insert it each time and let the database pass over the one that
    is there, as for any other row that may be known. MariaDB gives both of two who do so a shared lock on it, and then neither
    the exclusive one.

    Returns:
        the row, which stays locked.
    """
    chosen = select(bursts).where(bursts.c.kind == name).with_for_update()
    row = connection.execute(chosen).one_or_none()
    if row is not None:
        return row
    connection.execute(insert_new(connection, bursts, (bursts.c.kind,)), [{"kind": name, "since": now, "fired": 0}])
    return connection.execute(chosen).one()
