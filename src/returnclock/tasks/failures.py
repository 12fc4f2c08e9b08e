"""What Celery is handed of a failed task: an error of our own, in its own words, without what led to it.

Celery keeps a failure with its traceback, logs it, and sends it from the child to the worker through a pipe. The chain of a
database's errors quotes the statement in each link; one that is larger than the pipe's 64 KB is written in turns, and where the
child is killed in the middle of it the worker reads for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from returnclock.errors import ReturnclockError, StatementRefused
from returnclock.sqlstates import is_passing
from returnclock.tasks.wording import reason_of

_log = logging.getLogger(__name__)


@contextmanager
def kept_small() -> Iterator[None]:
    """Let what is raised inside go on as an error of our own that is small and can be pickled.

    Raises:
        StatementRefused: for any error of the database.
    """
    try:
        yield
    except ReturnclockError as fault:
        raise fault from None
    except SQLAlchemyError as fault:
        passes = isinstance(fault, DBAPIError) and is_passing(fault)
        if not passes:  # then somebody has to look for the place, and it is told nowhere else
            _log.info("Where the database refused:", exc_info=fault)
        hint = " Somebody else has a row in hand, or the connection was lost: the next try does it." if passes else ""
        raise StatementRefused(reason=reason_of(fault), hint=hint) from None
