"""A hub, its peers and rooms, with nothing installed but our package: mypy must see no Any."""

from collections.abc import Hashable, MutableMapping
from typing import Any, assert_type

from websocket_heartbeat.server import Hub, HubStats, Peer, Refusal, Request, Room, SessionOver, serve


def who(request: Request) -> str | Refusal | None:
    return request.header("Authorization") or Refusal(401)


hub = Hub(authenticate=who)


async def use(peer: Peer) -> None:
    assert_type(hub.room("a"), Room)
    assert_type(hub.user("a"), Room)
    assert_type(hub.peers, tuple[Peer, ...])
    assert_type(hub.stats, HubStats)
    assert_type(hub.rooms, dict[Hashable, int])
    async for message in peer:
        assert_type(message, str | bytes)
        peer.send(message)
        peer.send("position", volatile=True)
    assert_type(await peer.recv(), str | bytes)
    hub.room("a").send("position", volatile=True)
    for member in hub.room("a"):
        assert_type(member, Peer)
    assert_type(peer.principal, Hashable | None)
    assert_type(peer.session, str | None)
    assert_type(peer.number, int)
    assert_type(peer.state, MutableMapping[str, Any])
    peer.state["cart"] = [*peer.state.get("cart", []), "book"]
    peer.state[5] = "no str"  # type: ignore[index]
    try:
        await hub.send(peer.session or "", b"later")
    except SessionOver:
        await peer.end("gone")
    await hub.send(peer, "x")  # type: ignore[arg-type]
    assert_type(peer.closed, bool)
    assert_type(peer.latency, float | None)
    assert_type(peer.remote_address, tuple[str, int] | None)
    assert_type(peer.close_code, int | None)


async def main() -> None:
    async with serve(hub=hub) as server:
        assert_type(server.url(), str)
        await hub.send_away(over=20)
    await hub.on_shutdown(None)


class Socket:
    @property
    def scope(self) -> Any:
        return {"type": "websocket"}


async def endpoint() -> None:
    async with hub.accept(Socket()) as peer:
        assert_type(peer, Peer)
    async with hub.accept({"type": "websocket"}) as peer:
        assert_type(peer, Peer)
    async with hub.accept("socket"):  # type: ignore[arg-type]
        pass
