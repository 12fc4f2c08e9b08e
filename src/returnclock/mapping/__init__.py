"""Maps the market onto tables that a shop has already: its settings become a `Market`, and kinds are told in its tables.

`columns` builds what stands for a column, `kinds` translates a kind of deadline once, `watching` writes the triggers of the
change feed and `checking` says what the database lacks. Composed by rulebook; imports market, kinds, settings and database.
"""

from returnclock.mapping.columns import market_of
from returnclock.mapping.kinds import Unmapped, on_market

__all__ = ["Unmapped", "market_of", "on_market"]
