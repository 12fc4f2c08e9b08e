"""Errors are grouped by what they say, whatever varies in it."""

from __future__ import annotations

import pytest

from returnclock.likeness import alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 7 deadlines", "took 12 deadlines"),
        ("run 3f2b8c1a-0000-4000-8000-1234567890ab ended", "run 99999999-aaaa-4bbb-8ccc-ffffffffffff ended"),
        ("at 2026-11-24T10:00:00+00:00", "at 2026-12-01 09:30:12.5Z"),
        ("no seller 'Ana'", "no seller 'Bea Lamp'"),
        ("<object at 0x7f00aa>", "<object at 0x1>"),
        ("connect to 10.0.0.7:5432", "connect to 10.0.0.19:6432"),
        ("550 5.1.1 no such user ana@post.example", "550 5.1.1 no such user bea.k@post.example"),
        ("452 4.2.2 mailbox of 17 is full", "452 4.2.2 mailbox of 4 is full"),
        ("first line\nsecond 1", "first line\nanother"),
    ],
)
def test_errors_are_alike_but_for_what_varies(one: str, other: str) -> None:
    assert alike(one) == alike(other)


def test_errors_that_say_something_else_are_not_alike() -> None:
    assert alike("took 7 deadlines") != alike("took 7 notices")
    assert alike("550 5.1.1 no such user") != alike("552 5.2.2 no such user")
    assert alike("") == ""


def test_an_error_is_shown_with_the_codes_of_the_mail_server_and_without_the_address() -> None:
    assert alike("550 5.1.1 no such user ana@post.example") == "550 5.1.1 no such user (address)"
