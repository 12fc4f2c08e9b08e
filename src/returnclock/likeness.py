"""Likeness: what is left of an error when all that varies is taken out, so that what one fault did is one group.

Imports telemetry.
"""

from __future__ import annotations

import re

from returnclock.telemetry import masked

LONGEST_ERROR = 300

# What differs between two errors of the same fault: the longer forms first, or their parts would be taken one by one. What a
# mail server's codes say (RFC 3463) is the fault itself, and stays.
_VARYING = re.compile(
    r"""
    (?P<codes>\b[245]\d\d[\ ][245]\.\d{1,3}\.\d{1,3}\b)
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}          # a UUID
    | \b\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)? # a date or time
    | 0x[0-9a-f]+                                                            # an address in memory
    | '[^'\n]{0,200}' | "[^"\n]{0,200}"                                      # whatever was quoted
    | \b[0-9a-f]*\d[0-9a-f]{7,}\b                                            # a digest
    | \d+(?:[.:]\d+)*                                                        # a number, a duration, an address
    """,
    re.VERBOSE | re.IGNORECASE,
)


def alike(error: str) -> str:
    """What is left of an error's first line when all that varies is taken out: the same for the same fault."""
    lines = error.strip().splitlines()
    return _VARYING.sub(lambda found: found["codes"] or "…", masked(lines[0])[:LONGEST_ERROR]) if lines else ""
