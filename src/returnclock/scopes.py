"""Scopes: which deadlines an intervention is meant for, as SQL conditions over a kind's subject and its order.

Imports kinds and tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_

from returnclock.calendars import did_you_mean
from returnclock.errors import BadUsage
from returnclock.kinds import DeadlineKind
from returnclock.tables.clock import deadlines
from returnclock.tables.keys import as_text
from returnclock.tables.market import orders

_SHORT = {"seller": "seller_id", "buyer": "buyer_id"}


@dataclass(frozen=True)
class Scope:
    """Which deadlines: those of a kind, of one row, of all rows whose columns have these values; all that is named must hold.

    where: pairs of a column and its value as text; the column is the subject's, else its order's ("seller" and "buyer" stand
    for the ids of the order's parties). others: rows (table, id) that were taken out by hand, or of a row (table, id, kind)
    the deadline of a kind.
    """

    kind: str | None = None
    table: str | None = None
    subject_id: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, ...], ...] = ()

    @property
    def is_one_row(self) -> bool:
        """Whether it is meant for the deadlines of one row."""
        return self.subject_id is not None

    def means(self, kind: DeadlineKind) -> bool:
        """Whether it can be meant for any deadline of the kind at all."""
        if self.kind not in (None, kind.name) or self.table not in (None, kind.subject.name):
            return False
        return self.subject_id is None or self.subject_id not in self._taken_out(kind)

    def covers(self, kind: DeadlineKind) -> ColumnElement[bool]:
        """The condition under which it is meant for a deadline of the kind that is joined with its subject."""
        if not self.means(kind):
            return false()
        conditions: list[ColumnElement[bool]] = [deadlines.c.kind == kind.name]
        if self.subject_id is not None:
            conditions.append(deadlines.c.subject_id == self.subject_id)
        for name, value in self.where:
            found = column_of(kind, name)
            if found is None:
                return false()
            conditions.append(_equals(kind, found, value))
        if taken_out := self._taken_out(kind):
            conditions.append(deadlines.c.subject_id.not_in(taken_out))
        return and_(*conditions)

    def _taken_out(self, kind: DeadlineKind) -> list[str]:
        of_kind = [(table, subject_id) for table, subject_id, *named in self.others if named in ([], [kind.name])]
        return [subject_id for table, subject_id in of_kind if table == kind.subject.name]

    def without(self, table: str, subject_id: str, kind: str | None = None) -> Scope:
        """The same scope but for one row, or for its deadline of a kind."""
        return replace(self, others=(*self.others, (table, subject_id, kind) if kind else (table, subject_id)))

    def document(self) -> dict[str, Any]:
        """The scope in JSON types, for ``clock_holds`` and the ledger."""
        written = {"kind": self.kind, "table": self.table, "id": self.subject_id}
        known: dict[str, Any] = {name: value for name, value in written.items() if value is not None}
        if self.where:
            known["where"] = dict(self.where)
        if self.others:
            known["except"] = [list(one) for one in self.others]
        return known

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Scope:
        """The scope that `document` describes."""
        others = tuple(tuple(map(str, one)) for one in document.get("except", ()))
        where = tuple(document.get("where", {}).items())
        return cls(document.get("kind"), document.get("table"), document.get("id"), where, others)

    def __str__(self) -> str:
        parts = [self.kind or "", f"{self.table or ''} {self.subject_id}".strip() if self.is_one_row else self.table or ""]
        parts += [f"{name} = {value}" for name, value in self.where]
        parts += [f"without {len(self.others)} row(s)"] if self.others else []
        return ", ".join(part for part in parts if part) or "everything"


def column_of(kind: DeadlineKind, name: str) -> ColumnElement[Any] | None:
    """The column that a scope names: of the kind's subject, else of its order; "orders.country" says which."""
    table, _, plain = name.rpartition(".")
    plain = _SHORT.get(plain, plain)
    for one in (kind.subject, orders):
        if (one is kind.subject or kind.order_id is not None) and table in ("", one.name) and plain in one.c:
            found: ColumnElement[Any] = one.c[plain]
            return found
    return None


def check(scope: Scope, kinds: Iterable[DeadlineKind]) -> None:
    """Refuse a scope that no kind can ever be meant by.

    Raises:
        BadUsage: a column that no table of a kind has, with the nearest that is there.
    """
    concerned = [kind for kind in kinds if scope.kind in (None, kind.name) and scope.table in (None, kind.subject.name)]
    for name, _ in scope.where:
        if not any(column_of(kind, name) is not None for kind in concerned):
            known = sorted(
                {column.name for kind in concerned for one in (kind.subject, orders) for column in one.c} | _SHORT.keys()
            )
            raise BadUsage(reason=f"No row has a column {name!r}{did_you_mean(name, known)}. Known are: {', '.join(known)}.")


def any_of(kind: DeadlineKind, scopes: Iterable[Scope]) -> ColumnElement[bool]:
    """The condition that at least one of the scopes is meant for the deadline."""
    return or_(false(), *(scope.covers(kind) for scope in scopes))


def _equals(kind: DeadlineKind, column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    if column.table is not orders or kind.subject is kind.market["orders"].source:
        return as_text(kind.market.translate(column)) == value
    of_order = exists().where(orders.c.id == kind.order_id, as_text(column) == value).correlate(kind.subject)
    return kind.market.translate(of_order)  # type: ignore[no-any-return]
