"""What a terminal, or one line of a log, may be given of a text that somebody wrote. Imports nothing of ours."""

from __future__ import annotations

import unicodedata

# They turn the direction of all that follows. The joiners beside them belong to letters, as in Persian.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(text: str) -> str:
    """The text on one line, with U+FFFD for what steers a terminal: a reason must not forge a line or clear a screen."""
    return "".join(map(_shown, " ".join(text.split())))


def _shown(letter: str) -> str:
    return "\ufffd" if letter in _TURNING or unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cs") else letter
