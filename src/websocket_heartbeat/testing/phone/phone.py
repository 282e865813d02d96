"""The phone: which platforms are on it, whether the program is shown, whether there is a network."""

import asyncio
from collections.abc import Callable
from typing import Final

from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.testing.phone.host import Host
from websocket_heartbeat.testing.phone.platforms import Alipay, Baidu, Douyin, Taro, TaroH5, Uni
from websocket_heartbeat.testing.phone.sockets import Socket

SUSPENDED_AFTER: Final = 5.0
"""Seconds in the background until a platform stops the program and cuts its sockets."""


class Phone:
    """A simulated phone with one host object for each platform: `wx` for WeChat, `my` for Alipay and so on.

        phone = Phone()
        task = await WebsocketHeartbeat({"miniprogram": phone.wx, "connectSocketParams": {"url": url}})
        phone.hide()            # the home button; five seconds later the platform cuts the sockets
        phone.show()

    engine: what its sockets are made of, as in `connect`; over MemoryEngine it lives on a simulated clock.

    is_hidden: the program is in the background. is_suspended: it is stopped, and nothing of it runs.
    is_online: bytes pass. network_type: as the phone tells it, "none" without a network.

    wx, qq, ks, jd, swan, tt, my, Taro, TaroH5, uni: the platforms, named as their programs name them.
    """

    def __init__(self, engine: str | Engine = "auto") -> None:
        self.engine = engine
        self.is_hidden: bool = False
        self.is_suspended: bool = False
        self.is_online: bool = True
        self.network_type: str = "wifi"
        self._backlog: list[Callable[[], None]] = []
        self._suspension: asyncio.TimerHandle | None = None
        self.wx: Host = Host(self)
        self.qq: Host = Host(self)
        self.ks: Host = Host(self)
        self.jd: Host = Host(self)
        self.swan: Baidu = Baidu(self)
        self.tt: Douyin = Douyin(self)
        self.my: Alipay = Alipay(self)
        self.Taro: Taro = Taro(self)
        self.TaroH5: TaroH5 = TaroH5(self)
        self.uni: Uni = Uni(self)
        self.hosts: list[Host] = [
            self.wx,
            self.qq,
            self.ks,
            self.jd,
            self.swan,
            self.tt,
            self.my,
            self.Taro,
            self.TaroH5,
            self.uni,
        ]

    def hide(self) -> None:
        """Press the home button. Network calls are refused from now on; in 5 s the program is stopped."""
        if not self.is_hidden:
            self.is_hidden = True
            self._tell("AppHide")
            self._suspension = asyncio.get_running_loop().call_later(SUSPENDED_AFTER, self._suspend)

    def show(self) -> None:
        """Open the program again: what was held back while it was stopped arrives now."""
        if not self.is_hidden:
            return
        self.is_hidden = False
        self.is_suspended = False
        if self._suspension is not None:
            self._suspension.cancel()
        backlog, self._backlog = self._backlog, []
        for callback in backlog:
            callback()
        self._tell("AppShow")

    def go_offline(self, is_noticed: bool = True) -> None:
        """Lose the network. is_noticed: the phone sees it, tells the program and breaks its sockets.

        Otherwise nothing passes any more, and neither end is told: the half-open sockets of a tunnel.
        """
        self.is_online = False
        for socket in self.sockets:
            socket.lose_network(is_noticed)
        if is_noticed:
            self.network_type = "none"
            self._tell("NetworkStatusChange")

    def go_online(self, network_type: str = "4g") -> None:
        """Find a network again."""
        self.is_online = True
        self.network_type = network_type
        self._tell("NetworkStatusChange")

    @property
    def sockets(self) -> list[Socket]:
        """All sockets that are not closed, of all platforms."""
        return [socket for host in self.hosts for socket in host.sockets]

    def deliver(self, callback: Callable[[], None]) -> None:
        """Call back as the platform does: not while the program is stopped."""
        if self.is_suspended:
            self._backlog.append(callback)
        else:
            callback()

    def _suspend(self) -> None:
        self.is_suspended = True
        for socket in self.sockets:
            socket.interrupt()

    def _tell(self, name: str) -> None:
        for host in self.hosts:
            host.tell(name)
