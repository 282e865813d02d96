"""Handshakes and frames in the log: an engine over the user's, which steps aside unless DEBUG is on."""

import logging

from websocket_heartbeat.client.log import Log, logger
from websocket_heartbeat.engines.base import Engine, Link, LinkEvents, OpenRequest
from websocket_heartbeat.engines.logged import LoggedEvents


class LoggedEngine(Engine):
    """Opens links whose frames are logged, if DEBUG is on when their attempt begins."""

    __slots__ = ("_engine", "_log")

    name = "logged"

    def __init__(self, engine: Engine, log: Log) -> None:
        self._engine = engine
        self._log = log

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        """As in Engine."""
        if not logger.isEnabledFor(logging.DEBUG):
            await self._engine.open(request, events)
            return
        host, port = request.address
        way = "" if request.proxy is None else " by a proxy"
        way = way if request.unix_path is None else " by a Unix socket"
        fields = {"link": request.link, "address": f"{host}:{port}"}
        self._log.debug("link %d: handshake with %s:%d%s", request.link, host, port, way, extra=fields)
        await self._engine.open(request, _Told(events, self._log, request.link))


class _Told(LoggedEvents):
    """Writes into the log what is told of one link."""

    __slots__ = ("_link", "_log")

    def __init__(self, events: LinkEvents, log: Log, link: int) -> None:
        super().__init__(events, self._write)
        self._log = log
        self._link = link

    def opened(self, link: Link) -> None:
        """Tell that the handshake is complete."""
        self._log.debug("link %d: the handshake is complete", self._link, extra={"link": self._link})
        super().opened(link)

    def _write(self, direction: str, kind: str, size: int) -> None:
        fields = {"link": self._link, "direction": direction, "frame": kind, "size": size}
        self._log.debug("link %d: %s %s, %d bytes", self._link, direction, kind, size, extra=fields)
