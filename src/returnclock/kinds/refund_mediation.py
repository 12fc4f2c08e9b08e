"""A buyer who has waited two weeks for a refund is offered mediation; the refund itself is not changed."""

from __future__ import annotations

from returnclock.kinds.base import DeadlineKind, Notice, Party
from returnclock.kinds.refund_completion import REFUND_RUNS, REFUND_WORDS
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.tables.expressions import utc
from returnclock.tables.market import refunds

_OFFER = Notice(
    moment="outcome",
    to=Party.BUYER,
    subject="Your refund for {{ order }}: we offer you mediation",
    body="""
    You have been waiting for your refund{% if money %} of {{ money }}{% endif %} for {{ order }}. It was not
    completed by {{ deadline }}, and that is longer than it should take.

    We offer you mediation: somebody from our team listens to you and to the seller, and proposes a solution to both.
    It is voluntary, and your legal rights stay as they are.

    If you would like that, please ask for it on the page of your order. If you would rather wait, there is nothing
    you have to do: the refund goes on as before.

    {{ way_back }}
    """,
)

REFUND_MEDIATION = DeadlineKind(
    name="refund_mediation",
    title="the offer of mediation",
    awaited="the refund",
    words=REFUND_WORDS,
    subject=refunds,
    order_id=refunds.c.order_id,
    party=Party.BUYER,
    task="flag-late-refunds",
    runs_while=REFUND_RUNS,
    starts_at=utc(refunds.c.started_at),
    anchors=(refunds.c.started_at,),
    default=Policy(period=Period.parse("2 weeks"), ends="end_of_day"),
    event="refund:mediation_offered",
    firing_stops=False,
    met_when=refunds.c.status != "cancelled",
    notices=(_OFFER,),
)
