"""A real browser without a window, asked by the protocol of its own developer tools."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.process import HOST, ServerProcess
from tests.servers.programs import program

_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


class Chromium(ServerProcess):
    """Shows one page at a time, in a profile that nothing else has used."""

    name = "chromium"

    def command(self) -> Sequence[str | Path]:
        profile = f"--user-data-dir={self.folder / 'profile'}"
        return [program("chromium", "chromium"), *_QUIET, profile, f"--remote-debugging-port={self.port}", "about:blank"]

    def answers(self) -> bool:
        return bool(self._page())

    def _page(self) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/json/list", timeout=5) as answer:
            targets = json.load(answer)
        return next(str(target["webSocketDebuggerUrl"]) for target in targets if target["type"] == "page")

    def look(self, url: str, *, width: int, height: int = 900, dark: bool = False, then: str = "") -> Look:
        """Open a page in a window of this size, run a piece of script that leads to another one, and tell what came of it."""
        return asyncio.run(self._look(url, width, height, dark, then))

    async def _look(self, url: str, width: int, height: int, dark: bool, then: str) -> Look:
        from tornado.websocket import websocket_connect

        socket = await websocket_connect(self._page(), max_message_size=100_000_000)
        heard: list[dict[str, Any]] = []

        async def ask(method: str, **params: Any) -> Any:
            number = len(heard) + 1_000_000
            await socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
            return await hear(lambda told: told.get("id") == number)

        async def hear(wanted: Any) -> Any:
            while True:
                told = json.loads(await asyncio.wait_for(socket.read_message(), 30))
                heard.append(told)
                if wanted(told):
                    return told.get("result", {})

        try:
            for domain in ("Page", "Log", "Runtime"):
                await ask(f"{domain}.enable")
            phone = width < 600
            await ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            await ask("Emulation.setEmulatedMedia", features=[scheme])
            heard.clear()
            await ask("Page.navigate", url=url)
            if not any(told.get("method") == "Page.loadEventFired" for told in heard):
                await hear(lambda told: told.get("method") == "Page.loadEventFired")
            if then:
                await ask("Runtime.evaluate", expression=then)
                await hear(lambda told: told.get("method") == "Page.loadEventFired")
            measured = await ask("Runtime.evaluate", expression="document.documentElement.scrollWidth", returnByValue=True)
            said = await ask("Runtime.evaluate", expression="document.body.innerText", returnByValue=True)
            shot = await ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        finally:
            socket.close()
        complaints = [told["params"]["entry"]["text"] for told in heard if told.get("method") == "Log.entryAdded"]
        return Look(measured["result"]["value"], said["result"]["value"], base64.b64decode(shot["data"]), complaints)


class Look:
    """What a browser made of a page: the width that it needs, what can be read, a picture, and what it complained of."""

    def __init__(self, width: int, text: str, picture: bytes, complaints: list[str]) -> None:
        self.width, self.text, self.picture, self.complaints = width, text, picture, complaints
