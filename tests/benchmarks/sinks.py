"""Handlers of a mail server that throws messages away: what aiosmtpd's own sink lacks of real servers."""

from __future__ import annotations

import asyncio

WAIT_S = 0.005


class UnhurriedSink:
    """Throws a message away after ``WAIT_S``, as a relay takes its time that looks at it and writes it to its disk."""

    async def handle_DATA(self, *_: object) -> str:
        await asyncio.sleep(WAIT_S)
        return "250 OK"


class PipeliningSink:
    """Says that commands may come together (RFC 2920), as Postfix, Exim and Exchange do; aiosmtpd can it unsaid."""

    async def handle_EHLO(
        self, _server: object, session: object, _envelope: object, hostname: str, said: list[str]
    ) -> list[str]:
        session.host_name = hostname  # type: ignore[attr-defined]
        return [*said[:-1], "250-PIPELINING", said[-1]]

    async def handle_DATA(self, *_: object) -> str:
        return "250 OK"
