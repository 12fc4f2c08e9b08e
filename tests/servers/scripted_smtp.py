"""A mail server that misbehaves by the letter of a script, for what no mail server of a library can be told to do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import BinaryIO, ClassVar, Self


class ScriptedServer:
    """Answers each SMTP command as told: a reply, HANG_UP to close the connection, SILENCE to say nothing, or SLOW
    to give the usual answer late.

    ``script`` maps a command (or "connect", or "message" for the end of the content) to its answers, used up one by
    one; then the usual ones follow. ``commands`` is what was asked, ``unfinished`` what came of messages without an end,
    ``connections`` how many clients came.
    """

    HANG_UP = "hang up"
    SILENCE = "silence"
    SLOW, SLOW_S = "slow", 1.0
    USUAL: ClassVar = {
        "connect": "220 ready",
        "EHLO": "250 here",
        "DATA": "354 go on",
        "QUIT": "221 bye",
        "AUTH": "235 welcome",
    }

    def __init__(self, extensions: tuple[str, ...] = (), **script: list[str]) -> None:
        self.script = script
        self.extensions = extensions
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.unfinished: list[bytes] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        # Without shutdown the port goes on listening until the blocked accept returns.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            if not self._answer(client, "connect"):
                return
            for line in lines:
                self.commands.append(line.decode().strip())
                verb = line[:4].decode().upper()
                if not self._answer(client, verb) or verb == "QUIT":
                    return
                if verb == "DATA" and not self._refused_data:
                    *content, end = self._content(lines)
                    if end != b".\r\n":
                        self.unfinished.append(b"".join(content))
                        return
                    self.messages.append(b"".join(content))
                    if not self._answer(client, "message"):
                        return

    @staticmethod
    def _content(lines: BinaryIO) -> Iterator[bytes]:
        """The lines of a message with the dot that ends it, or without one where nothing ends it."""
        for line in lines:
            yield line
            if line == b".\r\n":
                return
        yield b""

    def _answer(self, client: socket.socket, step: str) -> bool:
        told = self.script.get(step) or []
        reply = told.pop(0) if told else self.USUAL.get(step, "250 fine")
        self._refused_data = step == "DATA" and not reply.splitlines()[-1].startswith("354")
        if reply == self.SILENCE:
            self._stopped.wait(10)
        if reply == self.SLOW:
            self._stopped.wait(self.SLOW_S)
            reply = self.USUAL.get(step, "250 fine")
        if reply in (self.HANG_UP, self.SILENCE):
            return False
        if step == "EHLO" and self.extensions and reply.startswith("250"):
            reply = "250-here\r\n" + "\r\n".join(f"250-{name}" for name in self.extensions) + "\r\n250 HELP"
        client.sendall(reply.encode() + b"\r\n")
        return True
