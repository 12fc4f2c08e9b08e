"""Three shops on tables of their own: excerpts of real schemas, their mappings as the documentation shows them, and what each
shop's front end writes, in its own SQL, for the things that happen.
"""

from tests.system.schemas.shops import SHOPS, Shop

__all__ = ["SHOPS", "Shop"]
