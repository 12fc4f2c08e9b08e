"""Reads the fenced blocks of a Markdown document, so that a test can do what the document says, to the letter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PART = re.compile(rf"^(?P<hashes>#+) (?P<heading>[^\n]+)$|{_FENCE.pattern}", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: the heading above it, the words after the fence, and what stands in it."""

    heading: str
    words: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def statements(self) -> list[str]:
        """The SQL statements; each ends with a semicolon at the end of a line."""
        return [part.strip() for part in re.split(r";\s*$", self.text, flags=re.MULTILINE) if part.strip()]


def blocks(name: str) -> list[Block]:
    """The blocks of a document under ``docs``, in its order."""
    heading, found = "", []
    for part in _PART.finditer((DOCS / name).read_text()):
        if part["heading"]:
            heading = part["heading"]
        else:
            found.append(Block(heading, tuple(part["info"].split()), part["text"]))
    return found


def prose(name: str) -> str:
    """The document without its blocks."""
    return _FENCE.sub("", (DOCS / name).read_text())
