"""The hub within a server of the library websockets: its options, refusals by a close frame, its end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import websockets
from tests.server.links.back_ends import Place, echo, stay, websockets_server
from tests.server.raw import CLOSE, PING, PONG, TEXT, Closes, client, frame, reluctant
from tests.watch import PATIENCE, Run, until
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request as HTTPRequest
from websockets.http11 import Response
from websockets.typing import Subprotocol

from websocket_heartbeat.server import Hub, Peer, Refusal, flow


def test_its_options_are_those_of_websockets(run_asyncio: Run) -> None:
    def select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[0] if offered else None

    async def main() -> None:
        hub = Hub()
        async with (
            websockets_server(hub, select_subprotocol=select, max_size=1000) as place,
            websockets.connect(
                place.url(), subprotocols=[Subprotocol("chat")], compression="deflate", ping_interval=None
            ) as ws,
        ):
            assert ws.subprotocol == "chat"
            assert [extension.name for extension in ws.protocol.extensions] == ["permessage-deflate"]
            await until(lambda: hub.peers)
            assert hub.peers[0].subprotocol == "chat"
            await ws.send("x" * 1000)
            assert await ws.recv() == "x" * 1000
            await ws.send("x" * 1001)
            await ws.wait_closed()
            assert ws.close_code == 1009

    run_asyncio(main())


@pytest.mark.parametrize(
    ("refusal", "code", "reason"),
    [
        (Refusal(503, {"Retry-After": "30"}), 1013, "retry-after=30"),
        (Refusal(429), 1013, ""),
        (Refusal(503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}), 1013, ""),
        (Refusal(403), 1008, ""),
        (Refusal(500), 1011, ""),
    ],
    ids=repr,
)
def test_without_process_request_a_client_is_refused_by_a_close_frame(
    run_asyncio: Run, refusal: Refusal, code: int, reason: str
) -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: refusal)
        async with websockets_server(hub, process_request=None) as place, client(place) as raw:
            assert raw.status == 101
            assert await raw.read() == (CLOSE, code.to_bytes(2) + reason.encode())
            assert not hub.peers

    run_asyncio(main())


def test_without_process_request_who_is_let_in_is_a_peer(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: request.query, max_peers=1)
        async with websockets_server(hub, process_request=None) as place, client(place, "/?ada") as raw:
            raw.frame(TEXT, b"hello")
            assert await raw.read() == (TEXT, b"hello")
            assert len(hub.user("ada")) == 1

    run_asyncio(main())


def test_refuse_goes_together_with_a_process_request_of_ones_own(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(max_peers=1)

        async def process_request(connection: ServerConnection, request: HTTPRequest) -> Response | None:
            if request.path == "/health":
                return connection.respond(200, "ok")
            return await hub.refuse(connection, request)

        async with websockets_server(hub, process_request=process_request) as place:
            async with client(place, "/health") as check:
                assert check.status == 200
            async with client(place) as first, client(place) as second:
                assert (first.status, second.status) == (101, 503)

    run_asyncio(main())


def test_two_hubs_may_serve_one_after_the_other(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        for _ in range(2):
            async with websockets_server(hub) as place, client(place) as raw:
                raw.frame(TEXT, b"hello")
                assert await raw.read() == (TEXT, b"hello")

    run_asyncio(main())


def test_what_cannot_be_called_with_a_peer_is_named() -> None:
    wrong: Any = lambda: None  # noqa: E731
    with pytest.raises(TypeError, match="on_peer"):
        Hub().websockets(wrong)


def test_without_a_function_the_hooks_have_it_all(run: Run) -> None:
    async def main() -> None:
        hub = Hub(on_message=lambda peer, message: peer.send(message))
        async with websockets_server(hub, None) as place, client(place) as raw:
            raw.frame(TEXT, b"hello")
            assert await raw.read() == (TEXT, b"hello")

    run(main())


def test_forgotten_pings_of_websockets_drop_no_peer_whose_handler_is_busy(run: Run) -> None:
    async def main() -> None:
        released = asyncio.Event()

        async def busy(peer: Peer) -> None:
            await released.wait()
            await echo(peer)

        async with (
            websockets_server(Hub(), busy, ping_interval=0.1, ping_timeout=0.2) as place,
            websockets.connect(place.url(), ping_interval=None) as ws,
        ):
            # More than may wait: reading pauses, and so its pongs are not read either.
            for _ in range(3):
                for _ in range(100):
                    await ws.send("x")
                await asyncio.sleep(0.3)
            released.set()
            assert [await ws.recv() for _ in range(300)] == ["x"] * 300

    run(main())


def test_a_peer_that_pings_and_does_not_read_is_dropped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STALLED", "SHORTEST"):
        monkeypatch.setattr(flow, name, 0.5)

    async def main() -> None:
        closes = Closes()
        hub = Hub(idle_timeout=1, write_limit=2**20, on_close=closes)
        pings = frame(PING, bytes(125)) * 1000
        async with websockets_server(hub, stay) as place, reluctant(place) as sock:

            async def flood() -> None:
                while True:
                    await asyncio.get_running_loop().sock_sendall(sock, pings)

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(flood(), PATIENCE)
            await until(lambda: closes.seen)
        assert closes.seen[0][2].startswith("did not read: ")

    run(main())


def test_a_server_that_closes_says_1001_and_ends_its_handlers(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        ended = asyncio.Event()

        async def read(peer: Peer) -> None:
            await echo(peer)
            ended.set()

        hub = Hub(on_close=closes)
        async with websockets.serve(hub.websockets(read), "127.0.0.1", 0) as server:
            place = Place(server.sockets[0].getsockname()[1])
            async with websockets.connect(place.url()) as ws:
                await until(lambda: hub.peers)
                server.close()
                await ws.wait_closed()
                assert ws.close_code == 1001
                await asyncio.wait_for(server.wait_closed(), PATIENCE)
                assert ended.is_set()
        assert closes.seen == [(1, 1001, "")]
        await hub.close()

    run(main())


def test_a_mute_peer_holds_up_neither_the_hub_nor_the_server(run: Run) -> None:
    async def main() -> None:
        hub = Hub(close_timeout=0.2)
        async with (
            websockets.serve(hub.websockets(stay), "127.0.0.1", 0, close_timeout=3600) as server,
            client(Place(server.sockets[0].getsockname()[1])) as raw,
        ):
            await until(lambda: hub.peers)
            code = asyncio.create_task(raw.close_code())
            await hub.send_away(1)
            assert not hub.peers
            assert await code == 1012
            assert await raw.end() == "reset"
        await hub.close()

    run(main())


def test_a_pong_nobody_asked_for_is_no_answer(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with websockets_server(hub) as place, client(place) as raw:
            raw.frame(PONG, b"unasked")
            raw.frame(TEXT, b"hello")
            assert await raw.read() == (TEXT, b"hello")

    run_asyncio(main())
