"""What firing wrote into a shop's own columns is known again, and taken back, however those keep it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from returnclock import schema
from returnclock.engines import open_engine
from returnclock.errors import Refused
from tests.database.desk import Operator
from tests.database.fifth_schema import WAYS, Kiosk
from tests.database.market import DAY, HOUR, MONDAY

# Nothing that a column could keep only in part may be lost in a comparison.
ODD = timedelta(microseconds=678_912)
FIRED = MONDAY + 20 * DAY + ODD
UNDONE = FIRED + HOUR
TABLES = ["claim", "payback"]
KIND = {"claim": "seller_response", "payback": "refund_completion"}
SUBJECT = {"claim": "disputes", "payback": "refunds"}
TASK = {"claim": "escalate-disputes", "payback": "flag-late-refunds"}
EVERY_WAY = [pytest.param(database, way, id=f"{database}-{way}") for database, ways in WAYS.items() for way in ways]


@pytest.fixture(scope="module")
def kiosks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Kiosk]]:
    """One shop on each database, made when it is first asked for."""
    known: dict[str, Kiosk] = {}

    class Opened(dict[str, Kiosk]):
        def __missing__(self, database: str) -> Kiosk:
            folder = tmp_path_factory.mktemp(database)
            servers = {"postgresql": "postgres", "mariadb": "mariadb"}
            server = servers.get(database)
            url = request.getfixturevalue(server).create_database() if server else f"sqlite:///{folder / 'market.db'}"
            engine = open_engine(url)
            schema.upgrade(engine, mapped=True)
            self[database] = known[database] = Kiosk(engine, folder)
            known[database].lay_out()
            return known[database]

    yield Opened()
    for kiosk in known.values():
        kiosk.engine.dispose()


@pytest.fixture
def kiosk(kiosks: dict[str, Kiosk], database: str, way: str) -> Kiosk:
    return kiosks[database].keeping(way)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_kiosk(kiosks: dict[str, Kiosk], request: pytest.FixtureRequest) -> Kiosk:
    return kiosks[request.param].keeping("local")


def fire(kiosk: Kiosk, table: str, *numbers: int, at: datetime = FIRED) -> int:
    kiosk.run("reconcile")
    assert [kiosk.states(KIND[table], number) for number in numbers] == [["running"]] * len(numbers)
    kiosk.run(TASK[table], at=at)
    assert [kiosk.states(KIND[table], number) for number in numbers] == [["fired"]] * len(numbers)
    return numbers[0]


def undo(kiosk: Kiosk, table: str, *number: int, at: datetime = UNDONE, dry_run: bool = False) -> Any:
    named = (SUBJECT[table], *number) if number else ()
    return Operator(kiosk).undo(*named, at=at, dry_run=dry_run, kind=KIND[table])


@pytest.mark.parametrize(("database", "way"), EVERY_WAY)
@pytest.mark.parametrize("table", TABLES)
def test_an_instant_is_given_back_as_it_was_however_it_is_kept_and_is_written_again(kiosk: Kiosk, table: str) -> None:
    numbers = [kiosk.open(table, earlier) for earlier in (None, kiosk.ways()[kiosk.way][2])]
    earlier = kiosk.all_raw(table)
    fire(kiosk, table, *numbers)
    written = kiosk.all_raw(table)

    assert undo(kiosk, table, dry_run=True)["would"] == 2
    assert kiosk.all_raw(table) == written
    done = undo(kiosk, table)
    assert (done["would"], done["undone"], done["rearmed"]) == (2, 2, 2)
    assert kiosk.all_raw(table) == earlier

    fire(kiosk, table, *numbers, at=UNDONE + 30 * DAY)
    again = kiosk.all_raw(table)
    assert again[0] == again[1] != written[1]


@pytest.mark.parametrize(("database", "way"), EVERY_WAY)
@pytest.mark.parametrize("table", TABLES)
def test_an_instant_that_the_shop_wrote_over_stays(kiosk: Kiosk, table: str) -> None:
    number = fire(kiosk, table, kiosk.open(table))
    theirs = kiosk.ways()[kiosk.way][2]
    kiosk.sql(f"UPDATE {table} SET {kiosk.way}_at = :theirs", theirs=theirs)
    written = kiosk.raw(table)

    for dry_run in (True, False):
        with pytest.raises(Refused, match="changed since"):
            undo(kiosk, table, number, dry_run=dry_run)
    assert kiosk.raw(table) == written


def test_the_day_alone_that_the_shop_wrote_over_an_instant_stays(any_kiosk: Kiosk) -> None:
    number = fire(any_kiosk, "claim", any_kiosk.open("claim"))
    any_kiosk.sql("UPDATE claim SET local_at = '2026-03-22'")
    with pytest.raises(Refused, match="changed since"):
        undo(any_kiosk, "claim", number)


@pytest.mark.parametrize(("database", "way"), [(database, "local") for database in WAYS])
def test_an_instant_that_was_written_in_a_repeated_hour_is_known_again(kiosk: Kiosk) -> None:
    """Half past one comes twice; it is read as the second, and was the first."""
    number = kiosk.open("claim")
    twice = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    fire(kiosk, "claim", number, at=twice)
    assert "01:30" in str(kiosk.raw("claim"))
    assert undo(kiosk, "claim", number, at=twice + HOUR)["undone"] == 1


def test_an_undo_is_a_write_that_the_touched_column_tells_of(any_kiosk: Kiosk) -> None:
    number = fire(any_kiosk, "claim", any_kiosk.open("claim"))
    assert any_kiosk.updated("claim") == FIRED
    undo(any_kiosk, "claim", number)
    assert any_kiosk.updated("claim") == UNDONE


def test_a_row_that_the_shop_only_touched_is_still_given_back(any_kiosk: Kiosk) -> None:
    """A shop saves a row for many reasons; what firing wrote it has left as it was."""
    number = fire(any_kiosk, "claim", any_kiosk.open("claim"))
    any_kiosk.sql("UPDATE claim SET updated = :at", at=FIRED + timedelta(minutes=1))
    assert undo(any_kiosk, "claim", number)["undone"] == 1
    assert any_kiosk.raw("claim", "state") == "asked"


@pytest.mark.parametrize("first", ["refund_completion", "refund_inspection"])
def test_each_of_two_flags_of_one_row_is_taken_off_alone(any_kiosk: Kiosk, first: str) -> None:
    number, operator = fire(any_kiosk, "payback", any_kiosk.open("payback")), Operator(any_kiosk)
    flags = {"refund_completion": "local_at", "refund_inspection": "stage"}
    assert None not in [any_kiosk.raw("payback", column) for column in flags.values()]

    assert operator.undo("refunds", number, at=UNDONE, kind=first)["undone"] == 1
    assert [any_kiosk.raw("payback", column) is None for column in flags.values()] == [kind == first for kind in flags]
    (second,) = set(flags) - {first}
    assert operator.undo("refunds", number, kind=second)["undone"] == 1
    assert [any_kiosk.raw("payback", column) for column in flags.values()] == [None, None]


def test_two_flags_of_one_row_are_taken_off_at_once(any_kiosk: Kiosk) -> None:
    number, operator = fire(any_kiosk, "payback", any_kiosk.open("payback")), Operator(any_kiosk)
    would = operator.undo("refunds", number, at=UNDONE, dry_run=True)["would"]
    assert operator.undo("refunds", number)["undone"] == would == 3  # the offer of mediation writes nothing
    assert [any_kiosk.raw("payback", column) for column in ("local_at", "stage")] == [None, None]


def test_a_flag_that_is_withdrawn_touches_the_row(any_kiosk: Kiosk) -> None:
    fire(any_kiosk, "payback", any_kiosk.open("payback"))
    any_kiosk.sql("UPDATE payback SET state = 'dropped', updated = :at", at=FIRED + timedelta(minutes=1))
    any_kiosk.run("reconcile", at=UNDONE)
    assert any_kiosk.raw("payback") is None
    assert any_kiosk.updated("payback") == UNDONE


def test_a_window_that_the_shop_opened_and_ended_again_is_not_opened(any_kiosk: Kiosk) -> None:
    """Firing writes a word and no instant: only what was seen between tells the two ends apart."""
    number = any_kiosk.insert_row("purchase", arrived=MONDAY)
    any_kiosk.run("reconcile", at=MONDAY + HOUR)
    any_kiosk.run("expire-return-windows", at=FIRED)
    for flag in ("-", "over"):
        any_kiosk.sql("UPDATE purchase SET flag = :flag", flag=flag)
        any_kiosk.run("reconcile")
    with pytest.raises(Refused, match="changed since"):
        Operator(any_kiosk).undo("orders", number, at=UNDONE)
    assert any_kiosk.raw("purchase", "flag") == "over"
