"""Instants that a shop keeps in another form than UTC, read and written as UTC in every database.

A naive time that a change of the clocks makes ambiguous, or skips, is read as the later instant: no deadline is counted from
too early a start. Imports the types beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from returnclock.tables.types import Instant, Unreadable, read_instant, sqlite_utc, written

# What cannot be read as an instant reads as this one: never as NULL, so that no reply is mistaken for silence, and so far
# ahead that nothing starts from it.
UNREADABLE_AS = datetime(9999, 12, 31, tzinfo=UTC)
# Offsets are looked up between these years; before the first no marketplace kept dates, and the last rule goes on for ever.
_FIRST_YEAR, _LAST_YEAR = 2000, 2060
_EPOCH = r"^[0-9]{1,11}([.][0-9]{1,6})?$"


class of_zone(FunctionElement[datetime]):
    """A naive column in a zone's local time, as UTC."""

    type = Instant()
    inherit_cache = True

    def __init__(self, local: ColumnElement[Any], zone: str) -> None:
        super().__init__(local, literal_column(f"'{zone}'"))


class in_zone(FunctionElement[datetime]):
    """An instant in UTC, as the naive local time of a zone: how it is written into the shop's column."""

    type = Instant()
    inherit_cache = True

    def __init__(self, moment: ColumnElement[Any], zone: str) -> None:
        super().__init__(moment, literal_column(f"'{zone}'"))


class of_epoch(FunctionElement[datetime]):
    """Seconds since 1970, kept as a number or as text, as UTC; an empty text is NULL."""

    type = Instant()
    inherit_cache = True


class as_epoch(FunctionElement[int]):
    """An instant as whole seconds since 1970."""

    inherit_cache = True


@compiles(of_zone, "postgresql")
@compiles(in_zone, "postgresql")
def _at_time_zone(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    moment, zone = (compiler.process(clause, **kw) for clause in element.clauses)
    # Of an ambiguous or skipped time PostgreSQL takes the later instant (standard time), as we do.
    return f"({moment} AT TIME ZONE {zone})"


@compiles(of_zone, "sqlite")
def _of_zone_sqlite(element: of_zone, compiler: Any, **kw: Any) -> str:
    return "returnclock_utc_of({}, {})".format(*(compiler.process(clause, **kw) for clause in element.clauses))


@compiles(in_zone, "sqlite")
def _in_zone_sqlite(element: in_zone, compiler: Any, **kw: Any) -> str:
    return "returnclock_local({}, {})".format(*(compiler.process(clause, **kw) for clause in element.clauses))


@compiles(of_zone, "mysql", "mariadb")
def _of_zone_mariadb(element: of_zone, compiler: Any, **kw: Any) -> str:
    moment, zone = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({moment} - INTERVAL {_tree(moment, _local_offsets(zone.strip(chr(39))))} SECOND)"


@compiles(in_zone, "mysql", "mariadb")
def _in_zone_mariadb(element: in_zone, compiler: Any, **kw: Any) -> str:
    moment, zone = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({moment} + INTERVAL {_tree(moment, _utc_offsets(zone.strip(chr(39))))} SECOND)"


def _tree(moment: str, offsets: tuple[tuple[str, int], ...]) -> str:
    """The offset at a moment, by halving: MariaDB's own CONVERT_TZ needs tables that many servers were never given."""
    if len(offsets) == 1:
        return str(offsets[0][1])
    middle = len(offsets) // 2
    return f"IF({moment} < '{offsets[middle][0]}', {_tree(moment, offsets[:middle])}, {_tree(moment, offsets[middle:])})"


@lru_cache(64)
def _changes(zone: str) -> tuple[tuple[datetime, int, int], ...]:
    """When the offset of a zone changes (UTC), with the offsets before and after in seconds."""
    there, found = ZoneInfo(zone), []
    before = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    day = timedelta(days=1)
    while before.year < _LAST_YEAR:
        after = before + day
        if _offset(before, there) != _offset(after, there):
            low, high = before, after
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (middle, high) if _offset(middle, there) == _offset(before, there) else (low, middle)
            found.append((high, _offset(before, there), _offset(after, there)))
        before = after
    return tuple(found)


def _offset(moment: datetime, there: ZoneInfo) -> int:
    offset = moment.astimezone(there).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


@lru_cache(64)
def _utc_offsets(zone: str) -> tuple[tuple[str, int], ...]:
    first = _offset(datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC), ZoneInfo(zone))
    return (("", first), *((_plain(moment), after) for moment, _, after in _changes(zone)))


@lru_cache(64)
def _local_offsets(zone: str) -> tuple[tuple[str, int], ...]:
    """From which local time on which offset holds, such that what is ambiguous or skipped is the later instant."""
    first = _offset(datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC), ZoneInfo(zone))
    # The smaller offset gives the later instant: the old one through a skipped hour, the new one through a repeated one.
    return (("", first), *((_plain(moment + timedelta(seconds=after)), after) for moment, _, after in _changes(zone)))


def _plain(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


@compiles(of_epoch, "postgresql")
def _of_epoch_postgresql(element: of_epoch, compiler: Any, **kw: Any) -> str:
    text = f"CAST({compiler.process(element.clauses, **kw)} AS TEXT)"
    return (
        f"(CASE WHEN {text} ~ '{_EPOCH}' THEN to_timestamp(CAST({text} AS DOUBLE PRECISION))"
        f" WHEN {text} <> '' THEN TIMESTAMPTZ '{_plain(UNREADABLE_AS)}Z' END)"
    )


@compiles(of_epoch, "mysql", "mariadb")
def _of_epoch_mariadb(element: of_epoch, compiler: Any, **kw: Any) -> str:
    value = compiler.process(element.clauses, **kw)
    return (
        f"(CASE WHEN {value} REGEXP '{_EPOCH}'"
        f" THEN TIMESTAMP'1970-01-01 00:00:00.000000' + INTERVAL CAST({value} AS DECIMAL(17,6)) SECOND"
        f" WHEN {value} <> '' THEN TIMESTAMP'{_plain(UNREADABLE_AS)}.000000' END)"
    )


@compiles(of_epoch, "sqlite")
def _of_epoch_sqlite(element: of_epoch, compiler: Any, **kw: Any) -> str:
    return f"returnclock_utc_of_epoch({compiler.process(element.clauses, **kw)})"


@compiles(as_epoch, "postgresql")
def _as_epoch_postgresql(element: as_epoch, compiler: Any, **kw: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **kw)})) AS BIGINT)"


@compiles(as_epoch, "mysql", "mariadb")
def _as_epoch_mariadb(element: as_epoch, compiler: Any, **kw: Any) -> str:
    return f"TIMESTAMPDIFF(SECOND, '1970-01-01', {compiler.process(element.clauses, **kw)})"


@compiles(as_epoch, "sqlite")
def _as_epoch_sqlite(element: as_epoch, compiler: Any, **kw: Any) -> str:
    return f"CAST(strftime('%s', replace({compiler.process(element.clauses, **kw)}, 'Z', '')) AS INTEGER)"


@lru_cache(8192)
def sqlite_utc_of(value: object, zone: str) -> str | None:
    """The SQL function ``returnclock_utc_of`` of our SQLite connections: a naive local time in the one form that sorts."""
    moment = read_instant(value)
    if moment is None or isinstance(moment, Unreadable) or _says_its_zone(value):
        return sqlite_utc(value)
    there = ZoneInfo(zone)
    naive = moment.replace(tzinfo=None)
    return written(max(naive.replace(tzinfo=there, fold=fold).astimezone(UTC) for fold in (0, 1)))


def _says_its_zone(value: object) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value.strip().upper()).tzinfo is not None


def sqlite_local(value: object, zone: str) -> str | None:
    """The SQL function ``returnclock_local``: an instant as a zone's naive local time, ``YYYY-MM-DD HH:MM:SS.ffffff``."""
    moment = read_instant(value)
    if moment is None or isinstance(moment, Unreadable):
        return None
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(" ", "microseconds")


def sqlite_utc_of_epoch(value: object) -> str | None:
    """The SQL function ``returnclock_utc_of_epoch``: seconds since 1970 in the one form that sorts."""
    if value is None or value == "":
        return None
    try:
        return written(datetime.fromtimestamp(float(str(value)), UTC))
    except (ValueError, OverflowError, OSError):
        return written(UNREADABLE_AS)
