"""What a kind of deadline is: a promise, told as facts that stamp, sweep and deliver work from.

A kind holds conditions as SQL expressions over its subject's table, so that one statement can restate all of them for a
thousand rows at once. Imports policy and tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import Alias, Column, ColumnElement, FromClause, Select, Table, and_, func, or_, select
from sqlalchemy.sql import visitors

from returnclock.kinds.wording import Words
from returnclock.market import OWN, Lookup, Market
from returnclock.policy import Policy
from returnclock.tables.clock import deadlines
from returnclock.tables.expressions import later, shop_sql, utc
from returnclock.tables.forms import UTC, Form
from returnclock.tables.keys import as_id
from returnclock.tables.types import Instant


class Party(StrEnum):
    """Who must act within a deadline, or is told of it; the platform is the market's own operators."""

    SELLER = "seller"
    BUYER = "buyer"
    PLATFORM = "platform"


class Value(StrEnum):
    """What an effect writes into a column when that is not a constant."""

    NOW = "the moment of the sweep"
    DUE_AT = "the moment when the deadline took effect"


@dataclass(frozen=True)
class Notice:
    """A message to one party: its subject and body are Jinja templates; blank lines part the paragraphs.

    ``moment`` says when it is queued: ``reminder`` before the deadline, ``outcome`` when it fires,
    ``undone`` when that is taken back. A ``digest`` is not
    sent by itself: all that wait are told in one message at the hour of the digest (``mail.digest_at``).
    """

    moment: Literal["reminder", "outcome", "undone"]
    to: Party
    subject: str
    body: str
    digest: bool = False


@dataclass(frozen=True, eq=False)  # by identity: what statements are built of cannot be compared
class DeadlineKind:
    """One promise of the market.

    name: what tables, settings and commands call it.
    title: what people call it, within a sentence: "the seller's answer".
    awaited: what must come before the time is up, where the title names something else: "a request to return the goods".
    words: how it is told where "the seller's answer came" would not be true, or no English: nobody awaits a window.
    subject: the table whose rows it binds.
    order_id: the order of such a row (an expression over the subject's table), or None where it has none.
    party: who must act.
    task: the sweep that enforces it, as the command writes it.
    runs_while: true while the deadline binds the row.
    starts_at: the instant from which it is counted; NULL while it cannot start.
    anchors: the columns that starts_at reads; named when a date is missing or wrong. The first is the one by which a front
        end says that the clock starts anew.
    default: the policy of a market that sets none; None keeps the kind off until its period is set.
    effect: the columns that firing changes, with what it writes; may be empty.
    event: the ledger's name for its firing.
    met_when: true when the row stopped running because the party did what it had to; else it is void.
    firing_stops: whether a row no longer runs once its deadline has fired; a flag leaves it running.
    reopening: what happens when a settled row runs again with the same start. ``restarts``: days are counted anew from
        when that was seen, because nobody can have been late while it was not their turn. ``resumes``: the first due date
        stands, because it hangs on a fact that has not changed (a delivery, the start of a refund).
    withdrawn_when, withdrawal: when a row that was flagged no longer deserves the flag, and the columns that take it back.
    withdrawn_event: the ledger's name for that.
    start_expected_at: since when the date that starts the clock is awaited; NULL where it is not. Reconcile reports the rows
        where it is long overdue (an order that never got a delivery date).
    awaits: true while a row would run if only the date that starts its clock were known; None where there is no such row.
    fallback: from what it is counted in place of a date that is not known, in words; empty where it is not.
    notices: what is told to whom.

    What follows is set where a shop's own tables stand for the market's (`mapping`), and never by whoever writes a kind.

    market: where the tables are. only: which rows of the subject's table are meant.
    outcome_stays: whether firing ends the running by what it writes; else the outcome is in the ledger alone.
    forms: how a column keeps an instant, where not in UTC. touched: columns that tell when a row was last written, and no more.
    anchor_names: what the operator calls the anchors. looks_at: other tables that say whether the deadline runs.
    """

    name: str
    title: str
    subject: Table | Alias[Any]
    order_id: ColumnElement[Any] | None
    party: Party
    task: str
    runs_while: ColumnElement[bool]
    starts_at: ColumnElement[Any]
    anchors: tuple[ColumnElement[Any], ...]
    default: Policy | None
    event: str
    met_when: ColumnElement[bool]
    effect: Mapping[str, str | Value] = field(default_factory=dict)
    firing_stops: bool = True
    reopening: Literal["restarts", "resumes"] = "resumes"
    withdrawn_when: ColumnElement[bool] | None = None
    withdrawal: tuple[str, ...] = ()
    withdrawn_event: str = ""
    start_expected_at: ColumnElement[Any] | None = None
    awaits: ColumnElement[bool] | None = None
    fallback: str = ""
    notices: tuple[Notice, ...] = ()
    awaited: str = ""
    words: Words | None = None
    market: Market = field(default=OWN, repr=False)
    only: tuple[ColumnElement[bool], ...] = ()
    outcome_stays: bool = True
    forms: Mapping[str, Form] = field(default_factory=dict)
    touched: tuple[str, ...] = ()
    anchor_names: tuple[str, ...] = ()
    looks_at: tuple[Lookup, ...] = ()

    @property
    def awaits_what(self) -> str:
        """What must come before the time is up, within a sentence."""
        return self.awaited or self.title

    @property
    def told(self) -> Words:
        """How its deadline is told."""
        return self.words or Words.awaiting(self.awaits_what)

    @property
    def stops_when_fired(self) -> bool:
        """Whether a row that runs although its deadline fired from the same start was re-opened by somebody."""
        return self.firing_stops and self.outcome_stays

    def form_of(self, name: str) -> Form:
        """How a column of the subject keeps an instant that we write."""
        return self.forms.get(name, UTC)

    def touching(self, moment: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
        """What each change of ours to the subject writes besides: that it was written at that moment."""
        return {name: self.form_of(name).written(moment) for name in self.touched}

    @property
    def anchor_places(self) -> tuple[str, ...]:
        """Where the dates that start the clock are written, as ``table.column``."""
        return self.anchor_names or tuple(f"{self.subject.name}.{column.name}" for column in self.anchors)

    @property
    def subject_key(self) -> ColumnElement[Any]:
        """The subject's primary key; a subject has one column of it."""
        (key,) = iter(self.subject.primary_key)
        return key

    @cached_property
    def looks_beyond(self) -> bool:
        """Whether its conditions look at other rows than the subject's own, such as the disputes of an order.

        A shop's own SQL may: nobody reads it here.
        """
        conditions = (self.runs_while, self.starts_at)
        return any(isinstance(part, Select | shop_sql) for one in conditions for part in visitors.iterate(one))

    @cached_property
    def heeds(self) -> frozenset[tuple[str, str]]:
        """The columns (table, name) on which it depends whether and from when a row runs, or how it ends."""
        conditions = (self.runs_while, self.starts_at, self.met_when, self.withdrawn_when, self.start_expected_at)
        parts = (part for one in conditions if one is not None for part in visitors.iterate(one))
        columns = (part for part in parts if isinstance(part, Column) and isinstance(part.table, Table))
        return frozenset((column.table.name, column.name) for column in columns)

    def falling_back(self, column: ColumnElement[Any], seconds: int, words: str) -> DeadlineKind:
        """The same kind, counted from another column and some time after it while its own date is not known.

        As soon as the date is written the clock starts anew from there.
        """
        assert self.awaits is not None
        return replace(
            self,
            runs_while=or_(self.runs_while, and_(self.awaits, column.is_not(None))),
            starts_at=func.coalesce(self.starts_at, later(utc(column), seconds), type_=Instant()),
            anchors=(*self.anchors, column),
            fallback=words,
        )

    def binds(self, kept: FromClause = deadlines) -> ColumnElement[bool]:
        """The row of the subject that a deadline binds."""
        bound = as_id(kept.c.subject_id, self.subject_key) == self.subject_key
        return and_(bound, *self.only) if self.only else bound

    def still_true(self, kept: FromClause = deadlines) -> ColumnElement[bool]:
        """Every condition under which a deadline may act upon its subject: it runs, and from the same start.

        Restated by every statement that changes anything, so that a reply which committed a moment earlier wins.
        """
        return and_(self.binds(kept), self.runs_while, self.starts_at == kept.c.starts_at)

    def with_parties(self, *columns: Any) -> Select[Any]:
        """Select from the subjects, each with its order, seller and buyer where there are such rows."""
        joined: FromClause = self.subject
        if self.order_id is not None:
            orders, sellers, buyers = (self.market[name] for name in ("orders", "sellers", "buyers"))
            if self.subject is not orders.source:
                joined = joined.outerjoin(orders.source, and_(orders.key == self.order_id, *orders.only))
            for party, named in ((sellers, "seller_id"), (buyers, "buyer_id")):
                joined = joined.outerjoin(party.source, and_(party.key == orders.columns[named], *party.only))
        return select(*columns).select_from(joined).where(*self.only)

    def notices_for(self, moment: str) -> tuple[Notice, ...]:
        """The notices of one moment, in the order in which they were declared."""
        return self._notices.get(moment, ())

    @cached_property
    def _notices(self) -> Mapping[str, tuple[Notice, ...]]:
        moments = {notice.moment for notice in self.notices}
        return {moment: tuple(notice for notice in self.notices if notice.moment == moment) for moment in moments}
