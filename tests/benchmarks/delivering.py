"""Delivery beside a bare loop of smtplib: the same messages to the same mail server, which throws them away."""

from __future__ import annotations

import smtplib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from returnclock.mail import Meanwhile, SmtpMailer
from returnclock.runs import perform
from tests.benchmarks.contest import Contender
from tests.benchmarks.sweeping import WARM_UP_ROWS
from tests.benchmarks.workload import Workload, WrongOutcome
from tests.servers.process import HOST, ServerProcess

SENDER = "returns@market.example"
TIMEOUT_S = 30.0


class DiscardingMailServer(ServerProcess):
    """aiosmtpd in a process of its own."""

    name = "smtp"

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Sink", "-l", f"{HOST}:{self.port}"]

    def answers(self) -> bool:
        with smtplib.SMTP(HOST, self.port, timeout=5) as client:
            return client.noop()[0] == 250


class _Copying:
    """Keeps what would be sent; sends nothing."""

    name = "copy"

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    @contextmanager
    def open(self) -> Iterator[_Copying]:
        yield self

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        self.messages.append((to_address, raw))


def delivering(workload: Workload, letters: int, server: DiscardingMailServer) -> list[Contender]:
    """Two letters to a dispute: what the sweep queued is delivered; the loop sends the very messages that delivery made."""
    mailer = SmtpMailer(f"smtp://{HOST}:{server.port}?tls=none", timeout_s=TIMEOUT_S, sender=SENDER)
    copies = _Copying()

    def ours(wanted: int, through: SmtpMailer | _Copying) -> float:
        workload.restore(wanted // 2)
        perform(workload.wiring, "escalate-disputes", trigger="beat", actor="beat")
        begun = time.perf_counter()
        wiring = replace(workload.wiring, mailer=through)
        done = perform(wiring, "deliver-mail", trigger="beat", actor="beat")
        took = time.perf_counter() - begun
        if (done["changed"], done["backlog"]) != (wanted, 0):
            raise WrongOutcome(f"delivered {done['changed']} of {wanted}, {done['backlog']} are left")
        return took

    def bare() -> float:
        begun = time.perf_counter()
        with smtplib.SMTP(HOST, server.port, timeout=TIMEOUT_S) as client:
            for address, raw in copies.messages:
                client.sendmail(SENDER, [address], raw)
        return time.perf_counter() - begun

    ours(min(letters, WARM_UP_ROWS), mailer)
    ours(letters, copies)
    size = sum(len(raw) for _, raw in copies.messages) // letters
    common = {"processes": 1, "connections": 1, "bytes_a_message": size, "server": "aiosmtpd, in a process of its own"}
    return [
        Contender("returnclock", letters, lambda: ours(letters, mailer), common),
        Contender("bare smtplib", letters, bare, common),
    ]
