"""Broker and results of the embedded default: two folders that may be deleted while everything runs.

Kombu's own ``filesystem`` transport raises when its folders vanish, which ends the worker; it moves each message by way
of the machine's temporary folder; and it shows a message before it is written whole, so that a reader may lose it.
Only the calls that touch files are replaced. What is lost with a folder is ticks, and the next come within seconds.
Comes in by the names that ``configuration`` hands to Celery.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from queue import Empty
from threading import Event
from time import monotonic, monotonic_ns
from typing import Any
from uuid import uuid4

from celery import signals
from celery.backends.filesystem import FilesystemBackend
from kombu.transport import filesystem

from returnclock.tasks.envelopes import TakesMessages, faults_told, tell_dropped

BIND_AGAIN_S = 5
LOOK_UP_EVERY_S = 0.2

_told_to_stop = Event()


@signals.worker_shutting_down.connect
def _look_up(**_: Any) -> None:
    _told_to_stop.set()


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is seen complete or not at all, and its folder where that is missing."""
    unseen = path.with_name(f".{path.name}.part")
    try:
        unseen.write_bytes(content)
        unseen.replace(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        unseen.write_bytes(content)
        unseen.replace(path)


class Channel(filesystem.Channel):
    """A channel whose every message is one file in ``data_folder_in``."""

    _bound_at = 0.0

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]
        # Twenty digits sort as text in the order of arrival. After a reboot the count begins again: ticks need none.
        name = f"{monotonic_ns():020}_{uuid4().hex}.{queue}.msg"
        _write_whole(self._folder / name, json.dumps(payload).encode())

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        self._bind_again()
        for waiting in sorted(self._waiting(queue)):
            taken = waiting.with_name(f".{waiting.name}.taken")
            try:
                waiting.rename(taken)  # one process wins
            except FileNotFoundError:
                continue
            with suppress(FileNotFoundError):
                content = taken.read_bytes()
                taken.unlink()
                with faults_told(tell_dropped):
                    return json.loads(content)
        raise Empty

    def _size(self, queue: str) -> int:
        return sum(1 for _ in self._waiting(queue))

    def _purge(self, queue: str) -> int:
        waiting = list(self._waiting(queue))
        for path in waiting:
            path.unlink(missing_ok=True)
        return len(waiting)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        table = self.get_table(exchange)  # type: ignore[no-untyped-call]
        if binding not in table:
            # Written whole and without a lock: of two that bind at once one may be lost, and it binds again.
            file = self._exchange_file(exchange)  # type: ignore[no-untyped-call]
            _write_whole(file, json.dumps([binding, *table]).encode())

    def _bind_again(self) -> None:
        """Write the bindings of this process again, or remote control would stay deaf once the folder was deleted."""
        if monotonic() - self._bound_at > BIND_AGAIN_S:
            self._bound_at = monotonic()
            for exchange, kept in list(self.state.exchanges.items()):
                for binding in kept.get("table", ()):
                    self._queue_bind(exchange, *binding)

    @property
    def _folder(self) -> Path:
        return Path(self.data_folder_in)

    def _waiting(self, queue: str) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if path.name.partition(".")[2] == f"{queue}.msg":
                    yield path


class Transport(TakesMessages, filesystem.Transport):
    """Kombu's ``filesystem`` transport with the channel above."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Wait for a message; a worker that is told to stop meanwhile need not wait to the end."""
        end = inf if timeout is None else monotonic() + timeout
        while True:
            try:
                slice_s = min(LOOK_UP_EVERY_S, max(end - monotonic(), 0))
                super().drain_events(connection, timeout=slice_s)  # type: ignore[no-untyped-call]
                return
            except TimeoutError:
                if _told_to_stop.is_set() or monotonic() >= end:
                    raise


class ResultFolder(FilesystemBackend):  # type: ignore[misc]  # Celery ships no types.
    """Celery's ``file://`` results, written whole; two workers may clean the folder at once, or somebody delete it."""

    def _do_directory_test(self, key: bytes) -> None:
        # Celery writes a file to try the folder, and ends whoever it fails. A disk that is full now may have room later.
        pass

    def set(self, key: bytes, value: str | bytes) -> None:
        """Keep one result."""
        _write_whole(self._path(key), value if isinstance(value, bytes) else value.encode())

    def delete(self, key: bytes) -> None:
        """Forget one result; that it is gone already is fine."""
        self._path(key).unlink(missing_ok=True)

    def cleanup(self) -> None:
        """Delete the results that are older than ``result_expires``."""
        # When another worker deletes a file meanwhile, or somebody the folder, the next cleaning does the rest.
        with suppress(FileNotFoundError):
            super().cleanup()

    def _path(self, key: bytes) -> Path:
        return Path(self._filename(key).decode())
