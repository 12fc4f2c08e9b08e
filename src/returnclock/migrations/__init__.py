"""The migrations. One that concerns the market's tables asks first whether they are ours."""

from __future__ import annotations

from alembic import context


def market_is_ours() -> bool:
    """Whether the market's five tables are of our making; a shop that maps its own keeps them as they are."""
    return bool(context.config.attributes.get("market_is_ours", True))
