"""The local sink: keeps each notice as a file that any mail program opens. For trials, and markets without mail."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from returnclock.errors import MailServerDown
from returnclock.mail.addresses import wire_address

if TYPE_CHECKING:
    from returnclock.mail.transport import Meanwhile


@dataclass(frozen=True)
class FolderMailer:
    """Keeps each notice in a file named by its Message-ID: a repeat replaces the file and is no second letter."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self.folder)

    @property
    def connections(self) -> int:
        """One: a disk takes files no faster from several threads."""
        return 1

    def path_of(self, message_id: str) -> Path:
        """Where the notice with this Message-ID is kept."""
        return self.folder / f"{re.sub(r'[^A-Za-z0-9@._-]', '_', message_id.strip('<>'))}.eml"

    @contextmanager
    def open(self) -> Iterator[FolderMailer]:
        """The folder, made where it is missing. Raises MailServerDown where it cannot be."""
        with self._faults_told():
            self.folder.mkdir(parents=True, exist_ok=True)
        yield self

    def send(self, to_address: str, raw: bytes, message_id: str, meanwhile: Meanwhile = None) -> None:
        """Keep one message. Raises NoticeRefused for no address, MailServerDown when the disk does not take it."""
        wire_address(to_address)
        with self._faults_told():
            self.folder.mkdir(parents=True, exist_ok=True)  # somebody tidied up meanwhile
            self._replace(self.path_of(message_id), raw)

    def _replace(self, path: Path, raw: bytes) -> None:
        """Write beside it and rename, so that nobody who watches the folder reads half a letter."""
        handle, unfinished = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
            os.replace(unfinished, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MailServerDown(server=self.name, reason=error.strerror or str(error)) from error
