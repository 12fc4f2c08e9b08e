"""Handlers of a mail server that throws messages away: what aiosmtpd's own sink lacks of real servers."""

from __future__ import annotations

import asyncio

from aiosmtpd.handlers import Sink

from tests.servers.smtp import Pipelining

WAIT_S = 0.005


class UnhurriedSink:
    """Throws a message away after ``WAIT_S``, as a relay takes its time that looks at it and writes it to its disk."""

    async def handle_DATA(self, *_: object) -> str:
        await asyncio.sleep(WAIT_S)
        return "250 OK"


class PipeliningSink(Pipelining, Sink):
    """Throws a message away at once."""
