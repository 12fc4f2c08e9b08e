"""Keys of rows: as the text that our own tables keep, as values of a table's own key, and a thousand of them at once.

Imports arrays and types beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Boolean, Select, String, Table, Uuid, any_, bindparam, cast, literal_column
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from returnclock.tables.arrays import Numbers, Spelt, Texts, Uuids
from returnclock.tables.types import Key

_BEYOND = 2**63  # of BIGINT, in which PostgreSQL would refuse all for one


class as_text(FunctionElement[str]):
    """A subject's id as the text that ``clock_deadlines.subject_id`` keeps."""

    type = Key
    inherit_cache = True


@compiles(as_text)
def _as_text(element: as_text, compiler: Any, **kw: Any) -> str:
    inner = compiler.process(element.clauses, **kw)
    target = "CHAR" if compiler.dialect.name in ("mysql", "mariadb") else "TEXT"
    return f"CAST({inner} AS {target})"


def as_id(text_id: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A ``subject_id`` in the type of the subject's own key, so that the key's index serves the join."""
    if isinstance(column.type, String | Uuid):
        collated = in_collation_of(text_id, column) if _collation(column) else text_id
        return as_uuid(collated) if isinstance(column.type, Uuid) else collated
    return cast(text_id, BigInteger)


class as_uuid(FunctionElement[str]):
    """A text id as a UUID where the database has a type for it that compares with no text.

    MariaDB's takes text as it is, and a text of a shop's own would not always compare with one that is cast.
    """

    type = Key
    inherit_cache = True


@compiles(as_uuid)
def _as_uuid(element: as_uuid, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(as_uuid, "postgresql")
def _as_uuid_postgresql(element: as_uuid, compiler: Any, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS UUID)"


def _collation(column: ColumnElement[Any]) -> str | None:
    on_mariadb = getattr(column.type, "_variant_mapping", {}).get("mariadb")
    return on_mariadb.collation if isinstance(on_mariadb, mysql.VARCHAR) and on_mariadb.charset is None else None


class in_collation_of(FunctionElement[str]):
    """A text id in the collation of a shop's key: MariaDB uses no index where the two differ. Elsewhere it stays as it is."""

    type = Key
    inherit_cache = True

    def __init__(self, text_id: ColumnElement[Any], column: ColumnElement[Any]) -> None:
        super().__init__(text_id, literal_column(str(_collation(column))))


@compiles(in_collation_of)
def _in_collation_of(element: in_collation_of, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(next(iter(element.clauses)), **kw))


@compiles(in_collation_of, "mysql", "mariadb")
def _in_collation_of_mariadb(element: in_collation_of, compiler: Any, **kw: Any) -> str:
    text_id, collation = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({text_id} COLLATE {collation})"


def keys_of(texts: Iterable[str], column: ColumnElement[Any]) -> list[Any]:
    """Subject ids, kept as text, as values of the subject's own key; numbers that are none are left out.

    A UUID stays as it is spelt: where the database keeps it as text, another spelling is another key.
    """
    if isinstance(column.type, String | Uuid):
        return sorted(texts)
    written = list(texts)
    if all(written) and "".join(written).isdecimal():  # as nearly always: one look at all of them together
        numbers = sorted(map(int, written))
    else:
        numbers = sorted(int(text) for text in written if text.removeprefix("-").isdecimal())
    fits = not numbers or (numbers[0] >= -_BEYOND and numbers[-1] < _BEYOND)
    return numbers if fits else [number for number in numbers if -_BEYOND <= number < _BEYOND]


def by_index(chosen: Select[Any], table: Table, index: str = "PRIMARY") -> Select[Any]:
    """The same rows, for which MariaDB looks in that index of the table, whatever it takes the table for.

    A small table it would rather read from end to end; where rows are locked it then waits for whoever has any other row in
    hand, such as a front end in a long transaction.
    """
    hint = f"FORCE INDEX ({index})"
    return chosen.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")


@dataclass(frozen=True)
class Given:
    """The name under which a statement that is built once gets its values each time it is executed."""

    name: str


class among(FunctionElement[bool]):
    """Whether a column is one of many values, or of those that are `Given` at execution.

    In PostgreSQL they travel as one array: a thousand placeholders cost more to write and to parse than the statement costs
    to run (4.4 ms against 0.6 ms for a thousand keys). SQLite and MariaDB are faster with plain ``IN``, where integers are
    spelt out and texts are a parameter each.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], values: Iterable[Any] | Given) -> None:
        given: dict[str, Any]
        given = {"key": values.name} if isinstance(values, Given) else {"key": None, "value": list(values), "unique": True}
        elsewhere: tuple[ColumnElement[Any], ...]
        if isinstance(column.type, String | Uuid):
            kind: Any = Uuids() if isinstance(column.type, Uuid) else Texts()
            elsewhere = (column.in_(bindparam(**given, type_=column.type, expanding=True)),)
        else:
            kind = Numbers()
            elsewhere = (column, bindparam(**given, type_=Spelt(), literal_execute=True))
        # As one parameter: SQLAlchemy and psycopg would otherwise look at every value by itself.
        super().__init__(column == any_(bindparam(**given, type_=kind)), *elsewhere)

    def self_group(self, against: Any = None) -> Any:
        """Stand as it is: where there is no boolean type SQLAlchemy would add ``= 1``, and no index serves that."""
        return self


@compiles(among)
def _among(element: among, compiler: Any, **kw: Any) -> str:
    _, *clauses = element.clauses
    elsewhere = [compiler.process(clause, **kw) for clause in clauses]
    return f"{elsewhere[0]} IN ({elsewhere[1]})" if len(elsewhere) == 2 else str(elsewhere[0])


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: Any, **kw: Any) -> str:
    as_array, *_ = element.clauses
    return str(compiler.process(as_array, **kw))
