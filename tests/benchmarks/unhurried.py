"""A mail server's handler that takes its time, as a relay does that looks at a message and writes it to its disk."""

from __future__ import annotations

import asyncio

WAIT_S = 0.005


class UnhurriedSink:
    """Throws a message away after ``WAIT_S``."""

    async def handle_DATA(self, *_: object) -> str:
        await asyncio.sleep(WAIT_S)
        return "250 OK"
