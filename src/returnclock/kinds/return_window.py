"""The time in which a buyer may return what was delivered."""

from __future__ import annotations

from sqlalchemy import and_, case, exists, func, or_

from returnclock.kinds.base import DeadlineKind, Notice, Party, Value
from returnclock.kinds.wording import Words
from returnclock.period import Period
from returnclock.policy import Policy
from returnclock.tables.expressions import utc
from returnclock.tables.market import disputes, orders

# A rude front end forgets to set return_status to requested; a dispute of the order says the same.
_disputed = exists().where(disputes.c.order_id == orders.c.id).correlate(orders)

_REMINDER = Notice(
    moment="reminder",
    to=Party.BUYER,
    subject="You can still return {{ order }} for {{ time_left }}",
    body="""
    Your {{ order }} has been delivered. If you would like to return something, please ask for it by
    {{ deadline }}. That is in {{ time_left }}.

    {{ return_cost }}

    If you are happy with everything, there is nothing you have to do.
    """,
)

_EXPIRED = Notice(
    moment="outcome",
    to=Party.BUYER,
    subject="The time to return {{ order }} has ended",
    body="""
    You could ask to return {{ order }} by {{ deadline }}. That time has ended, and no return was asked for,
    so this order can no longer be returned simply because you have changed your mind.

    {{ rights_remain }}
    """,
)

RETURN_WINDOW = DeadlineKind(
    name="return_window",
    title="the return window",
    awaited="a request to return the goods",
    words=Words(
        runs="The buyer may ask to return the goods",
        came="A return was asked for or a dispute opened",
        missed="No return had been asked for and no dispute opened",
        over="The return window does not run any more",
    ),
    subject=orders,
    order_id=orders.c.id,
    party=Party.BUYER,
    task="expire-return-windows",
    runs_while=and_(orders.c.return_status == "open", orders.c.delivered_at.is_not(None), ~_disputed),
    starts_at=utc(orders.c.delivered_at),
    anchors=(orders.c.delivered_at,),
    default=Policy(
        period=Period.parse("15 days"),
        ends="end_of_day",
        remind=(Period.parse("3 days"), Period.parse("1 day")),
    ),
    event="return_window:expired",
    effect={"return_status": "expired", "return_expired_at": Value.NOW},
    start_expected_at=case(
        (
            and_(orders.c.return_status == "open", orders.c.delivered_at.is_(None)),
            func.coalesce(utc(orders.c.estimated_delivery_at), utc(orders.c.ordered_at)),
        )
    ),
    awaits=and_(orders.c.return_status == "open", orders.c.delivered_at.is_(None), ~_disputed),
    met_when=or_(orders.c.return_status == "requested", _disputed),
    notices=(_REMINDER, _EXPIRED),
)
