"""A buyer whose return was accepted sends the goods back in time, or the dispute is closed.

Off until the market sets a period: ``[policy.return_shipment] period = "14 days"``.
"""

from __future__ import annotations

from sqlalchemy import and_

from returnclock.kinds.base import DeadlineKind, Notice, Party
from returnclock.kinds.wording import Words
from returnclock.tables.expressions import utc
from returnclock.tables.market import disputes

_REMINDER = Notice(
    moment="reminder",
    to=Party.BUYER,
    subject="Please send back the goods of {{ order }}: {{ time_left }} left",
    body="""
    {% if dispute_kind == "exchange_goods" %}
    Your exchange for {{ order }} was accepted, and the seller is waiting for the goods.
    {% else %}
    Your return of {{ order }} was accepted, and the seller is waiting for the goods.
    {% endif %}

    Please send them by {{ deadline }}. That is in {{ time_left }}. When they are on their way, please say so
    in the dispute.

    {{ return_cost }}

    If they have not been sent by then, the dispute is closed. If they are already on their way, just mark them as sent.
    """,
)

_CLOSED_TO_BUYER = Notice(
    moment="outcome",
    to=Party.BUYER,
    subject="Your dispute about {{ order }} has been closed",
    body="""
    The goods of {{ order }} were to be sent back by {{ deadline }}. We have not heard that they were sent, so
    the dispute has been closed.

    If you did send them, please show us the receipt or the tracking number, and we will look at it again.

    {{ rights_remain }}
    """,
)

_CLOSED_TO_SELLER = Notice(
    moment="outcome",
    to=Party.SELLER,
    subject="The dispute about {{ order }} has been closed",
    body="""
    The buyer{% if buyer_name %}, {{ buyer_name }},{% endif %} was to send back the goods of {{ order }} by
    {{ deadline }}. We have not heard that they were sent, so the dispute has been closed.

    There is nothing you have to do. If the goods do arrive, please tell us in the dispute.
    """,
)

RETURN_SHIPMENT = DeadlineKind(
    name="return_shipment",
    title="sending the goods back",
    awaited="the return shipment",
    words=Words(
        runs="The return shipment is awaited",
        came="The goods were sent back",
        missed="The goods had not been marked as sent back",
        over="The return shipment is no longer awaited",
    ),
    subject=disputes,
    order_id=disputes.c.order_id,
    party=Party.BUYER,
    task="close-stale-returns",
    runs_while=and_(
        disputes.c.status == "accepted",
        disputes.c.kind.in_(("return_goods", "exchange_goods")),
        disputes.c.return_shipped_at.is_(None),
    ),
    starts_at=utc(disputes.c.accepted_at),
    anchors=(disputes.c.accepted_at,),
    default=None,
    event="dispute:closed",
    effect={"status": "closed"},
    met_when=disputes.c.return_shipped_at.is_not(None),
    notices=(_REMINDER, _CLOSED_TO_BUYER, _CLOSED_TO_SELLER),
)
