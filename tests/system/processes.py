"""Workers as processes of their own, as a deployment has them: started together, stopped at a statement, or killed.

``Worker`` is the test's side; ``python -m tests.system.processes`` is the process. It says ``ready``, waits to be told
``go``, performs its tasks again and again as beat would have it, and says at its end what it did, as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self

from sqlalchemy import Engine, event

from returnclock import schema
from returnclock.mail import Channel, Mailer, Meanwhile
from returnclock.runs import perform
from returnclock.settings import load
from returnclock.wiring import Wiring, wire

ROOT = Path(__file__).resolve().parents[2]
STOPPED = "stopped"


class Worker:
    """One process. A ``with`` leaves none behind.

    Options:
        batch_size: rows in a transaction.
        stop_at: a regular expression; the process stops for ever before the first statement that it matches.
        stop_after_letters: the process stops for ever after the mail server took so many, before the mark.
        limit: rows of one run of a task.
        once: perform each task once instead of until nothing is left.
        seconds: give up after so long (90); ``finished`` is then false.
        upgrade: bring the schema up to date first.
        mail_log: a file that gets a line with the Message-ID of every letter sent.
    """

    def __init__(self, url: str, data: Path, tasks: Sequence[str], *, smtp_url: str = "", **options: Any) -> None:
        wanted = json.dumps({"tasks": list(tasks), **options})
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "DATABASE_URL": url,
            "RETURNCLOCK_DATA": str(data),
            "RETURNCLOCK_MAIL_SMTP_URL": smtp_url,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.processes", wanted],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def go(self) -> None:
        """Wait until it is ready, and let it begin."""
        assert self.process.stdin is not None
        self.expect("ready")
        print("go", file=self.process.stdin, flush=True)

    def expect(self, word: str) -> None:
        said = self._line()
        assert said == word, f"the worker said {said!r} and not {word!r}"

    def kill(self) -> None:
        """SIGKILL: the process has no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def result(self) -> dict[str, Any]:
        """What it did: ``errors`` (one text each), ``changed`` and ``queued`` by task, ``finished``."""
        said = self._line()
        assert self.process.wait(30) == 0 and said, "the worker died"
        found = json.loads(said)
        assert isinstance(found, dict)
        return found

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def work_together(workers: Sequence[Worker], *beside: Callable[[], object]) -> list[dict[str, Any]]:
    """Let all begin at the same moment, with what else begins beside them, and return what each did."""
    for worker in workers:
        worker.expect("ready")
    for begin in beside:
        begin()
    for worker in workers:
        assert worker.process.stdin is not None
        print("go", file=worker.process.stdin, flush=True)
    return [worker.result() for worker in workers]


@dataclass(frozen=True)
class _WatchedMailer:
    """Passes letters on, logs each, and can stop the process just after one was taken: each connection then takes no other."""

    inner: Mailer
    log: str | None
    stop_after: int | None
    taken: Iterator[int] = field(default_factory=partial(itertools.count, 1))

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def connections(self) -> int:
        return self.inner.connections

    @contextmanager
    def open(self) -> Iterator[Channel]:
        with self.inner.open() as channel:
            yield _WatchedChannel(channel, self)


@dataclass(frozen=True)
class _WatchedChannel:
    inner: Channel
    of: _WatchedMailer

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        self.inner.send(to_address, raw, message_id, meanwhile)
        if self.of.log is not None:
            with open(self.of.log, "a") as log:
                log.write(message_id + "\n")
        if self.of.stop_after is not None and next(self.of.taken) >= self.of.stop_after:
            _stop()


def _stop() -> NoReturn:
    print(STOPPED, flush=True)
    while True:
        time.sleep(60)


def _stop_at(engine: Engine, pattern: str) -> None:
    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if re.search(pattern, statement):
            _stop()

    event.listen(engine, "before_cursor_execute", before)


def _wiring(options: dict[str, Any]) -> Wiring:
    wiring = wire(replace(load(), batch_size=options.get("batch_size", 1000)))
    if "stop_at" in options:
        _stop_at(wiring.engine, options["stop_at"])
    watched = _WatchedMailer(wiring.mailer, options.get("mail_log"), options.get("stop_after_letters"))
    return replace(wiring, mailer=watched)


def _work(wiring: Wiring, options: dict[str, Any]) -> dict[str, Any]:
    changed: Counter[str] = Counter()
    queued: Counter[str] = Counter()
    errors: list[str] = []
    end = time.monotonic() + options.get("seconds", 90)
    if options.get("upgrade"):
        try:
            schema.upgrade(wiring.engine)
        except Exception as fault:
            errors.append(f"upgrade: {type(fault).__name__}: {fault}")
    finished = False
    while not finished and time.monotonic() < end:
        finished = True
        for task in options["tasks"]:
            try:
                done = perform(wiring, task, trigger="beat", actor="beat", limit=options.get("limit"))
            except Exception as fault:  # the next tick comes all the same
                errors.append(f"{task}: {type(fault).__name__}: {fault}")
                finished = False
                time.sleep(0.2)
                continue
            changed[task] += done["changed"]
            queued[task] += done["queued"]
            finished = finished and not done["examined"] and not done["backlog"]
        if options.get("once"):
            break
    return {"errors": errors, "changed": changed, "queued": queued, "finished": finished}


def main(options: dict[str, Any]) -> None:
    wiring = _wiring(options)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(_work(wiring, options)), flush=True)
    wiring.engine.dispose()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
