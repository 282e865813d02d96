"""A link that is cut at any byte of hello, resume, replay, acknowledgement or end makes no difference.

Each byte of each frame, in both directions, is the last one of a link once; the bytes of the HTTP handshake
are not, as a link that is cut there never was one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Literal

import pytest
from tests.server.sessions.test_sessions import running
from tests.watch import Run, until

from websocket_heartbeat import Backoff, ConnectionFailed, Heartbeat, connect
from websocket_heartbeat.events import Message, SessionEvent
from websocket_heartbeat.server import Hub, Peer, Server
from websocket_heartbeat.testing import FaultProxy

Way = Literal["to_client", "to_server"]

FIRST = 3
"""Messages each way over the first link."""
MORE = 17
"""Those that are sent when it is gone: enough for an acknowledgement at once."""

AT_ONCE = 24
"""Lives that are led at the same time."""

OPTIONS = {
    "session": "require",
    "heartbeat": Heartbeat(5, 5),
    "backoff": Backoff(initial=0.01, maximum=0.02, stable_after=0),
}


class BackEnd:
    """What a hub has seen of its clients, by their names.

    peers: of the latest session of each. up: the messages of each. ends: how its sessions have ended.
    """

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.up: dict[str, list[Message]] = defaultdict(list)
        self.ends: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._names: dict[str, str] = {}
        self.hub = Hub(
            sessions="memory",
            authenticate=lambda request: request.query,
            on_open=self._opened,
            on_message=lambda peer, message: self.up[str(peer.principal)].append(message),
            on_session_end=lambda session, why, left: self.ends[self._names[session]].append(
                (why, len(left))
            ),
        )

    def _opened(self, peer: Peer) -> None:
        self.peers[str(peer.principal)] = peer
        self._names[str(peer.session)] = str(peer.principal)
        for number in range(FIRST):
            peer.send(f"d{number}")


Life = Callable[[BackEnd, Server, str, Way, int], Awaitable[int]]
"""Leads the life of a client of that name, whose link is cut after so many bytes one way; 0: not at all.
Returns how many bytes went that way over the link that was to be cut."""


async def first_link(back_end: BackEnd, server: Server, name: str, way: Way, cut: int) -> int:
    """The first link is cut; at the end the client closes."""
    events: list[SessionEvent] = []
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        if cut:
            proxy.cut_after(cut, way)
        connection = connect(proxy.url(f"/?{name}"), **OPTIONS)  # type: ignore[arg-type]
        connection.on_session = events.append
        async with connection:
            for number in range(FIRST):
                await connection.send(f"u{number}")
            down = [await connection.recv() for _ in range(FIRST)]
        await until(lambda: back_end.ends[name])
        size = proxy.bytes_to_client if way == "to_client" else proxy.bytes_to_server
    assert down == [f"d{number}" for number in range(FIRST)]
    assert back_end.up[name] == [f"u{number}" for number in range(FIRST)]
    assert back_end.ends[name] == [("", 0)]
    assert [event.kind for event in events if event.kind != "resumed"] in (["new"], ["new", "over"])
    assert all(event.uncertain == () for event in events)
    return size


async def second_link(back_end: BackEnd, server: Server, name: str, way: Way, cut: int) -> int:
    """The link that resumes is cut; at the end the server dismisses the client."""
    events: list[SessionEvent] = []
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        connection = connect(proxy.url(f"/?{name}"), **OPTIONS)  # type: ignore[arg-type]
        connection.on_session = events.append
        async with connection:
            for number in range(FIRST):
                await connection.send(f"u{number}")
            down = [await connection.recv() for _ in range(FIRST)]
            await until(lambda: len(back_end.up[name]) == FIRST)
            proxy.freeze()
            for number in range(FIRST, FIRST + MORE):
                await connection.send(f"u{number}")
                back_end.peers[name].send(f"d{number}")
            before = proxy.bytes_to_client if way == "to_client" else proxy.bytes_to_server
            proxy.reset()
            if cut:
                proxy.cut_after(cut, way)
            proxy.thaw()
            down += [await connection.recv() for _ in range(MORE)]
            await until(lambda: len(back_end.up[name]) == FIRST + MORE)
            back_end.peers[name].dismiss("bye")
            with pytest.raises(ConnectionFailed):
                await connection.recv()
        if not cut:
            await until(lambda: back_end.ends[name])
        size = (proxy.bytes_to_client if way == "to_client" else proxy.bytes_to_server) - before
    assert down == [f"d{number}" for number in range(FIRST + MORE)]
    assert back_end.up[name] == [f"u{number}" for number in range(FIRST + MORE)]
    # A client that is dismissed does not come back to repeat an acknowledgement that was lost.
    assert back_end.ends[name] in ([("bye", 0)], [] if cut else None)
    assert [(event.kind, event.why) for event in events if event.kind != "resumed"] == [
        ("new", ""),
        ("over", "bye"),
    ]
    assert all(event.uncertain == () for event in events)
    return size


async def handshake_sizes(server: Server) -> dict[Way, int]:
    """Return how many bytes an HTTP handshake has each way."""
    head = b""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal head
        with suppress(asyncio.IncompleteReadError):  # of an attempt that was called off
            head = await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/?000", **OPTIONS):  # type: ignore[arg-type]
            await until(lambda: head)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
    return {"to_client": len(answer), "to_server": len(head)}


@pytest.mark.timeout(170)
@pytest.mark.parametrize("way", ["to_client", "to_server"])
@pytest.mark.parametrize("lead", [first_link, second_link])
def test_a_link_may_be_cut_after_any_byte_of_any_frame(run_asyncio: Run, lead: Life, way: Way) -> None:
    async def main() -> None:
        back_end = BackEnd()
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(running(back_end.hub))
            begin = (await handshake_sizes(server))[way]
            end = await lead(back_end, server, "000", way, 0)
            assert end - begin > 50
            turns = asyncio.Semaphore(AT_ONCE)

            async def one(cut: int) -> None:
                async with turns:
                    try:
                        await lead(back_end, server, f"{cut:03}", way, cut)
                    except BaseException as error:
                        error.add_note(f"cut {way} after {cut} bytes, {cut - begin} of frames")
                        raise

            async with asyncio.TaskGroup() as group:
                for cut in range(begin, end + 1):
                    group.create_task(one(cut))

    run_asyncio(main())
