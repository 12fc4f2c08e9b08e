"""Delivery beside a bare loop of smtplib: the same messages to the same mail server, which throws them away.

One server takes a message as fast as it can; that shows what delivery costs. Another does too, and takes commands together, as
nearly all do. A third takes some milliseconds over each message, as a relay does that looks at it and writes it to its disk;
that shows what of the cost is felt.
"""

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
from returnclock.settings import MailSettings
from tests.benchmarks.contest import Contender
from tests.benchmarks.sinks import WAIT_S
from tests.benchmarks.sweeping import WARM_UP_ROWS
from tests.benchmarks.workload import Workload, WrongOutcome
from tests.servers.process import HOST, ServerProcess

ROOT = Path(__file__).resolve().parents[2]
SENDER = "returns@market.example"
# The handler of each server, and what is said of it.
SERVERS = {
    "deliver": ("aiosmtpd.handlers.Sink", ""),
    "deliver, to a server that takes commands together": ("tests.benchmarks.sinks.PipeliningSink", ", PIPELINING"),
    "deliver, to an unhurried server": ("tests.benchmarks.sinks.UnhurriedSink", f", {WAIT_S * 1000:g} ms a message"),
}
TIMEOUT_S = 30.0


class DiscardingMailServer(ServerProcess):
    """aiosmtpd in a process of its own, with one of the handlers of ``SERVERS``."""

    name = "smtp"

    def __init__(self, work: str) -> None:
        super().__init__()
        self._handler, differs = SERVERS[work]
        self.described = f"aiosmtpd, in a process of its own{differs}"

    def command(self) -> Sequence[str | Path]:
        # The server's folder is another one, and ours is not installed.
        run = f"import sys; sys.path.append({str(ROOT)!r}); from aiosmtpd.main import main; main()"
        return [sys.executable, "-c", run, "-n", "-c", self._handler, "-l", f"{HOST}:{self.port}"]

    def answers(self) -> bool:
        with smtplib.SMTP(HOST, self.port, timeout=5) as client:
            return client.noop()[0] == 250


class _Copying:
    """Keeps what would be sent; sends nothing."""

    name = "copy"
    connections = 1

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    @contextmanager
    def open(self) -> Iterator[_Copying]:
        yield self

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        self.messages.append((to_address, raw))


def delivering(workload: Workload, letters: int, server: DiscardingMailServer) -> list[Contender]:
    """Two letters to a dispute: what the sweep queued is delivered; the loop sends the very messages that delivery made.

    returnclock as it is installed, with some connections at once; the loop; and returnclock with one connection, as the loop.
    """
    url = f"smtp://{HOST}:{server.port}?tls=none"
    mailer = SmtpMailer(url, timeout_s=TIMEOUT_S, sender=SENDER, connections=MailSettings().connections)
    of_one = SmtpMailer(url, timeout_s=TIMEOUT_S, sender=SENDER, connections=1)
    copies = _Copying()

    def ours(wanted: int, through: SmtpMailer | _Copying) -> float:
        workload.restore(wanted // 2)
        perform(workload.wiring, "escalate-disputes", trigger="cli", actor="clock")
        begun = time.perf_counter()
        wiring = replace(workload.wiring, mailer=through)
        done = perform(wiring, "deliver-mail", trigger="cli", actor="clock")
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

    def set_up(connections: int) -> dict[str, object]:
        return {"processes": 1, "connections": connections, "bytes_a_message": size, "server": server.described}

    return [
        Contender("returnclock", letters, lambda: ours(letters, mailer), set_up(mailer.connections)),
        Contender("bare smtplib", letters, bare, set_up(1)),
        Contender("returnclock, one connection", letters, lambda: ours(letters, of_one), set_up(1)),
    ]
