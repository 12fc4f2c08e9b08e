"""A proxy in front of a server, which can fall silent the way a firewall does: nothing is refused, and nothing answers."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Self

from tests.servers.process import HOST

_CHUNK = 65536


class TCPProxy:
    """Forwards to a port of this machine; ``port`` is its own, on which clients connect."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.silent = False
        self.port = 0
        self._peers: dict[socket.socket, socket.socket] = {}
        # Connections that were there while it was silent never speak again, as after a firewall lost its memory of them.
        self._lost: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5)
        for each in (*self._peers, *self._lost, self._listener):
            each.close()
        self._selector.close()

    def blackhole(self) -> None:
        """Take connections and bytes, and pass none on, until ``forward``."""
        self.silent = True

    def forward(self) -> None:
        """Serve new connections again. Those of the silence stay open and dead."""
        self.silent = False

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.05):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is self._listener:
                    self._accept()
                elif ready in self._peers:
                    self._pass_on(ready)
            if self.silent:
                self._lose_all()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self.silent:
            self._lost.append(client)
            return
        try:
            server = socket.create_connection((HOST, self.to_port), timeout=5)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        target = self._peers[source]
        with contextlib.suppress(OSError):
            chunk = source.recv(_CHUNK)
            if self.silent:
                return  # these bytes are lost, and the connection with them
            if chunk:
                target.sendall(chunk)
                return
        for each in (source, target):
            self._forget(each)
            each.close()

    def _lose_all(self) -> None:
        for each in list(self._peers):
            self._forget(each)
            self._lost.append(each)

    def _forget(self, each: socket.socket) -> None:
        self._selector.unregister(each)
        del self._peers[each]
