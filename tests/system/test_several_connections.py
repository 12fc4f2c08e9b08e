"""Real mail servers that want fewer connections than a round of letters would open: every letter goes out, once."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import select

from returnclock.database import reading
from returnclock.mail import SmtpMailer
from returnclock.tables.clock import outbox
from tests.servers.scripted_smtp import ScriptedServer
from tests.system.crowded_market import act, fill, open_market, wired

DUE = 50
CONNECTIONS = 3
SENDER = "returns@fair.example"
TOO_MANY = "421 4.7.0 too many connections from your host"


@pytest.mark.parametrize(
    "script",
    [
        {},
        {"connect": ["220 ready", TOO_MANY, TOO_MANY]},
        {"connect": ["220 ready", ScriptedServer.HANG_UP, ScriptedServer.HANG_UP]},
        {"connect": ["220 ready", ScriptedServer.SILENCE, ScriptedServer.SILENCE]},
        {"EHLO": ["250 here", "554 5.7.1 no"], "HELO": ["554 5.7.1 no"]},
    ],
    ids=["welcome", "refused", "hung up on", "never greeted", "one of them refused at its greeting"],
)
def test_every_letter_goes_out_once_however_many_connections_the_server_wants(
    sqlite_url: str, tmp_path: Path, script: dict[str, list[str]]
) -> None:
    is_silent = ScriptedServer.SILENCE in script.get("connect", ())  # the server uses its answers up
    engine = open_market(sqlite_url)
    fill(engine, due=DUE)
    wiring = wired(sqlite_url, tmp_path)
    act(wiring, "stamp", "escalate-disputes")
    with ScriptedServer(**script) as server:
        mailer = SmtpMailer(server.url, timeout_s=30, sender=SENDER, connections=CONNECTIONS)
        act(replace(wiring, mailer=mailer), "deliver-mail")
        if is_silent:
            assert [one for one in threading.enumerate() if one.name.startswith("carrier")], "a silent server was waited for"
        assert server.connections == CONNECTIONS

    identities = Counter(message_from_bytes(raw)["Message-ID"] for raw in server.messages)
    with reading(engine) as connection:
        rows = connection.execute(select(outbox.c.state, outbox.c.attempts, outbox.c.message_id)).all()
    assert {(row.state, row.attempts) for row in rows} == {("sent", 1)}
    assert identities == Counter(row.message_id for row in rows)
    assert len(rows) == 2 * DUE
    engine.dispose()
