"""A refund that takes longer than was promised is flagged, and the operators are told."""

from __future__ import annotations

from sqlalchemy import and_

from returnclock.kinds.base import DeadlineKind, Notice, Party, Value
from returnclock.kinds.wording import Words
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.tables.expressions import utc
from returnclock.tables.market import refunds

REFUND_RUNS = and_(refunds.c.status.not_in(("completed", "cancelled")), refunds.c.completed_at.is_(None))
REFUND_WORDS = Words(
    runs="The refund is awaited",
    came="The refund was completed",
    missed="The refund had not been completed",
    over="The refund is no longer awaited",
)

_LATE_TO_PLATFORM = Notice(
    moment="outcome",
    to=Party.PLATFORM,
    subject="Late: {{ case }} for {{ order }}{% if money %} ({{ money }}){% endif %}",
    body="""
    {{ case_first }}{% if money %} of {{ money }}{% endif %} for {{ order }} was promised by {{ deadline }} and is not
    completed.{% if refund_status %} Its status is "{{ refund_status }}".{% endif %}{% if method %} It is paid back by
    "{{ method }}".{% endif %}

    {% if seller_name or seller_email %}
    Seller: {{ seller_name or "no name" }}{% if seller_email %}, {{ seller_email }}{% endif %}
    {% endif %}

    {% if buyer_name or buyer_email %}
    Buyer: {{ buyer_name or "no name" }}{% if buyer_email %}, {{ buyer_email }}{% endif %}
    {% endif %}

    The buyer is being told that the refund is late and that you are looking after it.
    """,
)

_LATE_TO_BUYER = Notice(
    moment="outcome",
    to=Party.BUYER,
    subject="Your refund for {{ order }} is late, and we are on it",
    body="""
    Your refund{% if money %} of {{ money }}{% endif %} for {{ order }} was promised by {{ deadline }}. It has not been
    completed yet, and we are sorry about that.

    Our team has been told and is looking after it. There is nothing you have to do.

    {{ way_back }}
    """,
)

REFUND_COMPLETION = DeadlineKind(
    name="refund_completion",
    title="the refund",
    words=REFUND_WORDS,
    subject=refunds,
    order_id=refunds.c.order_id,
    party=Party.SELLER,
    task="flag-late-refunds",
    runs_while=REFUND_RUNS,
    starts_at=utc(refunds.c.started_at),
    anchors=(refunds.c.started_at,),
    default=Policy(period=Period.parse("10 business days"), ends="end_of_day"),
    event="refund:late",
    effect={"late_since": Value.DUE_AT},
    firing_stops=False,
    met_when=refunds.c.status != "cancelled",
    withdrawn_when=refunds.c.status == "cancelled",
    withdrawal=("late_since",),
    withdrawn_event="refund:late_withdrawn",
    notices=(_LATE_TO_PLATFORM, _LATE_TO_BUYER),
)
