"""A phone over the memory engine, with a task on one of its platforms."""

from collections.abc import Callable, Coroutine
from typing import Any

from websocket_heartbeat.engines.memory import MemoryEngine, MemoryPeer
from websocket_heartbeat.miniprogram import MiniProgramTask, WebsocketHeartbeat
from websocket_heartbeat.testing import SimulatedClock
from websocket_heartbeat.testing.phone import Phone
from websocket_heartbeat.testing.phone.host import Host

NAMES = ("wx", "qq", "ks", "jd", "swan", "tt", "my", "Taro", "TaroH5", "uni")
URL = "ws://example.com/"


class Scene:
    """A phone over the memory engine, with one task on one of its hosts."""

    def __init__(self, name: str) -> None:
        self.refuses = False
        self.engine = MemoryEngine(self._answer)
        self.phone = Phone(self.engine)
        self.host: Host = getattr(self.phone, name)
        self.heard: list[tuple[str, Any]] = []

    async def _answer(self, request: Any) -> None:
        if self.refuses:
            raise OSError("refused")

    async def connect(self, **options: Any) -> MiniProgramTask:
        given = {"url": URL, **options.pop("connectSocketParams", {})}
        task = await WebsocketHeartbeat({"miniprogram": self.host, "connectSocketParams": given}, **options)
        for hook in ("Open", "Message", "Close", "Error", "Reconnect", "GiveUp"):
            setattr(task, f"on{hook}", lambda event, hook=hook: self.heard.append((hook, event)))
        return task

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    @property
    def peer(self) -> MemoryPeer:
        return self.engine.peers[-1]

    @property
    def live(self) -> int:
        return len(self.engine.live_peers)


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    SimulatedClock().run(main())
