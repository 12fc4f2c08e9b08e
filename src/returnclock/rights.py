"""Rights: the least that two accounts of the database need, as GRANT statements: our own, and a front end's. Pure.

Our own may change only the market's columns that a kind's effect names. The tables' owner, who runs ``db upgrade``, is a third
account; the triggers act with its rights, so that a front end needs none on our tables but to read them.
Imports kinds and tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Table

from returnclock.kinds import DeadlineKind
from returnclock.tables.clock import CLOCK_TABLES
from returnclock.tables.interventions import vacations
from returnclock.tables.market import MARKET_TABLES

_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Written once and never changed; what history is moved away is deleted from the hot tables, and stays in the archive.
_OWN = {
    "clock_policies": ("SELECT", "INSERT"),
    "clock_events": ("SELECT", "INSERT", "DELETE"),
    "clock_archive": ("SELECT", "INSERT"),
}
_DUE = "clock_due"  # the view that a front end reads


@dataclass(frozen=True)
class Site:
    """Where the tables are. ``schema`` is PostgreSQL's; ``host`` is from where MariaDB's accounts come, ``%`` anywhere."""

    dialect: str
    database: str
    schema: str = "public"
    host: str = "%"

    @property
    def is_postgresql(self) -> bool:
        """Whether the statements are PostgreSQL's; else MariaDB's."""
        return self.dialect == "postgresql"

    def table(self, name: str) -> str:
        """A table's name in full, quoted."""
        if self.is_postgresql:
            return f"{_quoted(self.schema)}.{_quoted(name)}"
        return f"{_quoted(self.database, '`')}.{_quoted(name, '`')}"

    def column(self, name: str) -> str:
        """A column's name, quoted."""
        return _quoted(name, '"' if self.is_postgresql else "`")

    def account(self, name: str) -> str:
        """An account's name, quoted."""
        return _quoted(name) if self.is_postgresql else f"{_quoted(name, chr(39))}@{_quoted(self.host, chr(39))}"


def own_rights(site: Site, account: str, kinds: Sequence[DeadlineKind], version_table: str) -> list[str]:
    """What the account needs under which worker, beat and command run."""
    changed = _changed_columns(kinds)
    tables: dict[str, Sequence[str]] = {name: ("SELECT",) for name in sorted({*MARKET_TABLES, *changed})}
    for name, columns in changed.items():
        tables[name] = ("SELECT", _update(site, columns))
    tables |= {name: _OWN.get(name, _ALL) for name in CLOCK_TABLES}
    # Reconcile says there which table a kind binds, where an older version has not; what is frozen stays.
    tables["clock_policies"] = (*_OWN["clock_policies"], _update(site, ["table_name"]))
    tables[version_table] = ("SELECT",)
    return [*_entry(site, account), *_on(site, account, tables), *_numbers(site, account, CLOCK_TABLES.values())]


def front_end_rights(site: Site, account: str) -> list[str]:
    """What a front end's account needs: all of the market's tables, to read ours, and to announce a seller's vacation."""
    tables: dict[str, Sequence[str]] = {name: _ALL for name in MARKET_TABLES}
    tables |= {name: ("SELECT",) for name in (*CLOCK_TABLES, _DUE)}
    tables[vacations.name] = ("SELECT", "INSERT", _update(site, ["removed_at"]))
    numbered = (*MARKET_TABLES.values(), vacations)
    return [*_entry(site, account), *_on(site, account, tables), *_numbers(site, account, numbered)]


def _update(site: Site, columns: Iterable[str]) -> str:
    return f"UPDATE ({', '.join(map(site.column, columns))})"


def _changed_columns(kinds: Sequence[DeadlineKind]) -> dict[str, list[str]]:
    """The columns that firing may change, by table; where there are none the key: only who may write a row may lock it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for kind in kinds:
        found[kind.subject.name] |= {*kind.effect, *kind.withdrawal, *kind.touched}
    keys = {kind.subject.name: str(kind.subject_key.name) for kind in kinds}
    return {name: sorted(columns) or [keys[name]] for name, columns in sorted(found.items())}


def _entry(site: Site, account: str) -> list[str]:
    if not site.is_postgresql:
        return []
    return [
        f"GRANT CONNECT ON DATABASE {_quoted(site.database)} TO {site.account(account)};",
        f"GRANT USAGE ON SCHEMA {_quoted(site.schema)} TO {site.account(account)};",
    ]


def _on(site: Site, account: str, tables: dict[str, Sequence[str]]) -> list[str]:
    return [f"GRANT {', '.join(rights)} ON {site.table(name)} TO {site.account(account)};" for name, rights in tables.items()]


def _numbers(site: Site, account: str, tables: Iterable[Table]) -> list[str]:
    """PostgreSQL numbers rows from sequences, which are objects of their own."""
    if not site.is_postgresql:
        return []
    names = [f"{table.name}_id_seq" for table in tables if "id" in table.c and table.c.id.primary_key]
    return [f"GRANT USAGE ON SEQUENCE {site.table(name)} TO {site.account(account)};" for name in names]


def _quoted(name: str, mark: str = '"') -> str:
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"
