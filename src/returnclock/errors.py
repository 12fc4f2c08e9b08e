"""Every failure that an operator meets.

The docstring of an error is the message that is printed, with its ``{fields}`` filled in: what is wrong, where, and what to
do. Rooms raise these; only the command and the tasks turn them into an exit code or a failed run. Imports nothing of ours.

    ReturnclockError
    ├── SettingsError        2  all faults of the settings, together
    ├── BadDatabaseAddress   2  what only the driver knows to be wrong with it
    ├── BadPeriod            2  ├── BadPolicy  2
    ├── UnknownCountry       2  ├── UnknownSubdivision  2  ├── UnknownZone  2  ├── BadPeak  2
    ├── UnknownTask          2  ├── UnknownKind  2  ├── BadUsage  2
    ├── BadInstant  2  ├── InstantTooFar  2
    ├── NotFound             3
    ├── Refused              4
    ├── FolderUnusable       2  ├── SchemaAhead  4
    ├── SchemaBehind         1  ├── UpgradeUnderWay  1  ├── StatementRefused  1  ├── DatabaseUnreachable  1
    │                           ├── DatabaseReadsOnly  1  ├── ConnectionsExhausted  1
    │                           └── DatabaseNotOpened  1  what does not mend itself: account, database, TLS, file
    ├── CountsDisagree       1  ├── DeadlinesLate  1  ├── StillPaused  1  ├── CommitUncertain  1
    ├── BrokerUnusable       1  ├── NoWorker  1  ├── StillRunning  1  ├── RunFailed  1
    └── MailError            1
        ├── MailServerDown      the server, not the notice: nothing is charged to the notice
        ├── NoticeDeferred      4xx for this notice: tried again later
        ├── NoticeRefused       5xx for this notice, or it cannot be written: dead
        └── DeliveryUncertain   the connection broke after the notice was handed over: it may have been taken
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import cleandoc
from typing import Any, ClassVar


class ReturnclockError(Exception):
    """returnclock failed: {reason}"""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None, **fields: Any) -> None:
        """``message``: the finished text, as Celery hands it over when it rebuilds the error that a worker met."""
        self.fields = fields
        super().__init__(message if message is not None else cleandoc(type(self).__doc__ or "").format(**fields))

    def __reduce__(self) -> Any:
        # The fields are for whoever raises; across processes the finished text is what counts.
        return (type(self), (str(self),))


class SettingsError(ReturnclockError):
    """The settings have {count} fault(s); nothing was started:
    {faults}"""

    exit_code = 2

    def __init__(self, message: str | None = None, *, faults: Sequence[str] = ()) -> None:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(message, count=len(faults), faults=listed)
        self.fields = {"faults": tuple(faults)}
        self.faults = tuple(faults)


class BadDatabaseAddress(ReturnclockError):
    """The address of the database ({url}) cannot be used: {reason}. Correct what stands after its "?" in DATABASE_URL, or leave
    it out; nothing was started."""

    exit_code = 2


class BadPeriod(ReturnclockError):
    """{text!r} is not a period. Write a number and a unit, such as "48 hours", "5 days", "10 business days" or "2 weeks"."""

    exit_code = 2


class BadPolicy(ReturnclockError):
    """{where}: {reason}."""

    exit_code = 2


class UnknownCountry(ReturnclockError):
    """There is no holiday calendar for the country {country!r}{hint}. Use an ISO 3166-1 alpha-2 code such as "DE"."""

    exit_code = 2


class UnknownSubdivision(ReturnclockError):
    """{country} has no subdivision {subdivision!r} in the holiday calendars{hint}. Known are: {known}."""

    exit_code = 2


class UnknownZone(ReturnclockError):
    """There is no time zone {zone!r}{hint}. Use an IANA name such as "Europe/Lisbon"."""

    exit_code = 2


class BadPeak(ReturnclockError):
    """The peak season {name!r} cannot be used: {reason}."""

    exit_code = 2


class UnknownTask(ReturnclockError):
    """There is no task {task!r}{hint}. Nothing was run or queued. The tasks are: {known}."""

    exit_code = 2


class UnknownKind(ReturnclockError):
    """There is no kind of deadline {kind!r}{hint}. The kinds are: {known}."""

    exit_code = 2


class BadInstant(ReturnclockError):
    """{text!r} is not a time. Write ISO 8601, such as 2026-12-18T16:00 or 2026-12-18T16:00:00+01:00."""

    exit_code = 2


class InstantTooFar(ReturnclockError):
    """{text!r} is too far away to count from. Write a time of the years {first} to {last}."""

    exit_code = 2


class BadUsage(ReturnclockError):
    """{reason}"""

    exit_code = 2


class NotFound(ReturnclockError):
    """There is no {what} {which!r}{hint}."""

    exit_code = 3


class Refused(ReturnclockError):
    """Refused: {reason}"""

    exit_code = 4


class FolderUnusable(ReturnclockError):
    """The folder {folder} cannot be used: {reason}. Give it to this user, or name another one by RETURNCLOCK_DATA."""

    exit_code = 2


class SchemaBehind(ReturnclockError):
    """The database {database} has schema {found}, this version of returnclock needs {needed}.
    Run "returnclock db upgrade" first."""


class NoDatabaseFile(SchemaBehind):
    """There is no database {database} yet. Run "returnclock db upgrade" first. If there should be one, go to the folder of
    its returnclock.toml, or name its own by RETURNCLOCK_DATA."""


class SchemaAhead(ReturnclockError):
    """The database {database} has schema {found}, and is newer than this returnclock, which knows {needed}: update this
    returnclock to the version that has upgraded it."""

    exit_code = 4


class UpgradeUnderWay(ReturnclockError):
    """Another upgrade of this database has been running for {seconds} seconds. Let it end."""


class DatabaseUnreachable(ReturnclockError):
    """The database {url} cannot be reached: {reason}. Deadlines are kept; they are enforced when it is back."""


class DatabaseNotOpened(DatabaseUnreachable):
    """The database {url} cannot be opened: {reason}. This does not mend itself: {remedy}.
    Deadlines are kept; they are enforced when it can be opened."""


class ConnectionsExhausted(DatabaseUnreachable):
    """The database {url} has no connection left to give: {reason}. Deadlines are kept; they are enforced when one is free.
    If it lasts, raise the server's max_connections or the account's own limit, or lower the workers' --concurrency or
    [database] pool_size, to which each process may open connections."""


class DatabaseReadsOnly(DatabaseUnreachable):
    """The database {url} takes no writes: {reason}. It is a replica, or a failover is under way, or somebody has set it so.
    Deadlines are kept; they are enforced when it takes writes again: every attempt opens a new connection. If it lasts, point
    DATABASE_URL at the primary, or end the server's read-only mode."""


class StatementRefused(ReturnclockError):
    """The database refused: {reason}.{hint}"""


class CommitUncertain(ReturnclockError):
    """The connection to the database was lost at the very end: it is not known whether it was done for {what}.
    It was not tried again, so that nothing is done twice. Look with "returnclock explain", and do it again if it was not."""


class CountsDisagree(ReturnclockError):
    """The sweep of {kind} took {claimed} deadline(s) but changed {changed} row(s) of {table}; the batch was rolled back and
    nothing was changed. Please report this with the run's id."""


class DeadlinesLate(ReturnclockError):
    """{count} deadline(s) are due and not enforced; the latest, of {kind}, is late by {late} (its limit is {limit}).
    Look whether workers and beat run: "returnclock status", then "returnclock run stamp" and the sweep by hand."""


class StillHeld(ReturnclockError):
    """Deadline {deadline} ({kind}) should run again and cannot: {reason}. It stays held, so it takes no effect; all others run.
    Mend what it says, if it is of the row; else please report this with the run's id."""


class StillPaused(ReturnclockError):
    """{name} is paused since {since}, by {actor}: {reason} (the limit is {limit}). Nothing is lost meanwhile, but it is late.
    End it with "returnclock unpause {name}" and a reason."""


class BrokerUnusable(ReturnclockError):
    """The {server} cannot be used: {reason}. Nothing was sent to a worker. Mend it, or run the task here:
    "returnclock run {task}" without --queue needs no broker."""


class NoWorker(ReturnclockError):
    """No worker took {task} within {seconds} s, and the request has expired.{aside} Look whether a worker runs, and whether all
    of it is busy: "returnclock status". Without --queue the task runs here."""


class StillRunning(ReturnclockError):
    """A worker took {task} ({run}), and it has not ended within {seconds} s.{aside} It may still be at work, or its worker was
    killed: look at "returnclock runs --task {task}". Running it once more does no harm."""


class RunFailed(ReturnclockError):
    """{task} failed in the worker: {reason}. The worker's log has more."""


class MailError(ReturnclockError):
    """Mail failed: {reason}"""


class MailServerDown(MailError):
    """The mail server {server} does not take mail now: {reason}. The notices stay queued."""


class NoticeDeferred(MailError):
    """The mail server deferred this notice: {reason}"""


class NoticeRefused(MailError):
    """This notice cannot be delivered: {reason}"""


class DeliveryUncertain(MailError):
    """The mail server {server} was handed this notice and did not say whether it took it: {reason}"""
