"""The settings of a shop's own tables: what they say, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from returnclock.errors import SettingsError
from returnclock.settings import Settings, load
from returnclock.settings.market import CONTRACT, OURS, WORDS
from returnclock.tables import market
from returnclock.write_rulebook import write_rulebook

ORDERS = '[market.orders]\ntable = "purchase"\n[market.orders.columns]\ndelivered_at = "arrived"\n'
DISPUTES = (
    '[market.disputes]\ntable = "complaint"\n[market.disputes.columns]\n'
    'order_id = "purchase"\nopened_at = "raised"\nstatus = { column = "code", values = { awaiting_seller = 1 } }\n'
)


def loaded(folder: Path, toml: str) -> Settings:
    (folder / "returnclock.toml").write_text(toml, encoding="utf-8")
    return load({}, folder)


def faults(folder: Path, toml: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        write_rulebook(loaded(folder, toml))
    return caught.value.faults


def test_the_words_of_the_settings_are_those_of_the_tables() -> None:
    assert {name: tuple(column.name for column in table.columns) for name, table in market.MARKET_TABLES.items()} == CONTRACT
    marked = {
        name: tuple(column.name for column in table.columns if (column.comment or "").startswith("◆"))
        for name, table in market.MARKET_TABLES.items()
    }
    assert {name: columns for name, columns in marked.items() if columns} == OURS
    assert {
        "orders.return_status": market.RETURN_STATUSES,
        "disputes.kind": market.DISPUTE_KINDS,
        "disputes.status": market.DISPUTE_STATUSES,
        "disputes.escalated_by": market.ESCALATED_BY,
        "refunds.status": market.REFUND_STATUSES,
        "refunds.late_stage": market.REFUND_STATUSES[:3],
    } == WORDS


def test_a_kind_for_which_the_shop_has_nothing_is_off_and_its_sweep_stays_known(tmp_path: Path) -> None:
    book = write_rulebook(loaded(tmp_path, ORDERS))
    assert set(book.rules) == {"return_window"}
    assert book.without["seller_response"] == "[market.disputes] is not mapped"
    assert book.tasks()["escalate-disputes"] == []


def test_a_policy_of_a_kind_that_cannot_run_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, ORDERS + '[policy.refund_completion]\nperiod = "5 days"\n')
    assert fault == "[policy.refund_completion]: it has no effect, because [market.refunds] is not mapped"


def test_every_fault_of_a_mapping_is_reported_together(tmp_path: Path) -> None:
    toml = (
        '[market]\ntime_zone = "Europe/Lisboa"\nchange = "triggers"\n'
        '[market.orders]\ntable = "pur chase"\nkey_type = "guid"\nwrites = ["number", "return_status"]\n'
        '[market.orders.columns]\nnumbr = "ref"\n'
    )
    said = faults(tmp_path, toml)
    assert [fault.removeprefix("returnclock.toml: ") for fault in said] == [
        "[market] time_zone: there is no time zone 'Europe/Lisboa'; use an IANA name such as 'Europe/Lisbon'",
        "[market] change: there is no such setting; did you mean changes?",
        "[market.orders] table: 'pur chase' is no name of a table or column",
        "[market.orders] key_type: 'guid'; did you mean uuid?",
        "[market.orders.columns] numbr: orders has no such column; did you mean number?",
        "[market.orders.columns]: delivered_at is missing; no deadline can be counted without it",
        "[market.orders] writes: 'number' is no column that returnclock writes; known are return_status, return_expired_at",
        "[market.orders] writes: return_status is no column of the table itself, so it cannot be written; leave it out",
    ]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[market.order]\n", "[market] order: there is no such setting; did you mean orders?"),
        ("[market]\norders = 5\n", "[market] orders: this is a whole number; write its keys under [market.orders]"),
        (DISPUTES, "[market]: the other tables hang on the orders; write [market.orders]"),
        ('[market]\nchanges = "never"\n' + ORDERS, "[market] changes: 'never'; known are triggers, reconcile"),
        (ORDERS + "country = 5\n", "country: this is a whole number; write a column's name"),
        (ORDERS + 'country = { colum = "c" }\n', "country colum: there is no such setting; did you mean column?"),
        (ORDERS + 'country = { column = "c", value = "DE" }\n', "country: write just one of column, value and sql"),
        (ORDERS + 'country = { table = "t", column = "c" }\n', "country: table and on belong together"),
        (ORDERS + 'country = { value = "D\\\\E" }\n', "country value: write a text without a backslash"),
        (ORDERS + 'id = "ref"\n', "id: write the key's column as key under [market.orders]"),
        (ORDERS + DISPUTES.replace("awaiting_seller =", "awaiting ="), "'awaiting' is no word of disputes.status"),
        (ORDERS + DISPUTES.replace("= 1 }", "= 1, closed = 1 }"), "values.closed: 1 stands for awaiting_seller already"),
        (
            ORDERS + 'return_status = { table = "m", column = "v", on = { o = "id" }, take = "any" }\n',
            "take: 'any'; known are one, latest, latest_known, earliest",
        ),
        (ORDERS + "[market.sellers]\nkey = 'x'\n", "[market.sellers.columns]: email is missing"),
        (ORDERS + "[market.sellers.columns]\nemail = 'address'\n", "email: without a table every column is { value = … }"),
    ],
)
def test_a_mapping_that_cannot_hold_is_refused(toml: str, said: str, tmp_path: Path) -> None:
    assert any(said in fault for fault in faults(tmp_path, toml)), faults(tmp_path, toml)
