"""What somebody wrote comes out on one line, and steers no terminal; letters of every script stay as they are."""

from __future__ import annotations

import pytest

from returnclock.printable import one_line


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a\nb\r\n  c\td", "a b c d"),
        ("\x1b[2Jred", "\ufffd[2Jred"),
        ("a\x00b\x7f\x9b", "a\ufffdb\ufffd\ufffd"),
        ("txt\u202egpj", "txt\ufffdgpj"),
        ("a\u2028b", "a b"),
        ("half \ud800", "half \ufffd"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("Zoë 👩\u200d🔧", "Zoë 👩\u200d🔧"),
    ],
)
def test_a_text_comes_out_on_one_line_and_steers_nothing(written: str, shown: str) -> None:
    assert one_line(written) == shown
