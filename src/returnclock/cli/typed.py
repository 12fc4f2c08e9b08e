"""What is typed: numbers, ids and times, refused where no database can hold them, or no date be counted from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from returnclock.errors import BadInstant, InstantTooFar, NotFound

_LARGEST = 2**63 - 1  # of BIGINT; past it each database says no in words of its own, and some with another exit code
# A period or a grace is still added to it, or a year subtracted, and Python's dates end at the year 9999.
_FIRST_YEAR, _LAST_YEAR = 1970, 8999


class Number(click.ParamType[int]):
    """A whole number from ``least`` on."""

    name = "number"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Raises click's BadParameter."""
        number = int(click.INT.convert(value, param, ctx))
        if not self._least <= number <= _LARGEST:
            self.fail(f"{value} is not a number from {self._least} to {_LARGEST}.", param, ctx)
        return number


class Identity(click.ParamType[int]):
    """The id of a row."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The id. Raises NotFound for one that no row can have."""
        number = int(click.INT.convert(value, param, ctx))
        if not -_LARGEST <= number <= _LARGEST:
            raise NotFound(what="row with the id", which=number, hint=f"; none is beyond {_LARGEST}")
        return number


class Moment(click.ParamType[datetime]):
    """A time on the command line: ISO 8601, in UTC unless it says otherwise."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The instant. Raises as `moment` does."""
        return moment(value)


AT_LEAST_ONE = Number(1)
IDENTITY = Identity()


def moment_option(name: str, *, help: str) -> Callable[[Any], Any]:
    """An option that takes a time."""
    return click.option(name, type=Moment(), metavar="TIME", help=help)


def moment(text: Any) -> datetime | None:
    """An instant that was typed (ISO 8601, UTC unless it says); None where none was.

    Raises:
        BadInstant: it is none; the message has an example of one.
        InstantTooFar: no deadline can be counted from it.
    """
    from returnclock.tables.types import Unreadable, read_instant

    read = read_instant(text)
    if isinstance(read, Unreadable):
        raise BadInstant(text=text)
    if read is not None and not _FIRST_YEAR <= read.year <= _LAST_YEAR:
        raise InstantTooFar(text=text, first=_FIRST_YEAR, last=_LAST_YEAR)
    return read
