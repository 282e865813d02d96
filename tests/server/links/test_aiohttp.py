"""The hub within an application of aiohttp.web: its options, its responses, its shutdown."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from aiohttp import web
from tests.server.links.back_ends import Place, aiohttp_web, application, echo, running, stay
from tests.server.raw import CLOSE, PING, TEXT, Closes, client, frame, reluctant
from tests.server.raw import connect as connect_bare
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub, Peer, Refusal, Request


def test_its_options_are_those_of_aiohttp(run_asyncio: Run) -> None:
    async def main() -> None:
        options: dict[str, Any] = {
            "protocols": ("news", "chat"),
            "max_msg_size": 1000,
            "headers": {"X-Shard": "3"},
        }
        async with (
            aiohttp_web(Hub(), **options) as place,
            aiohttp.ClientSession() as session,
            session.ws_connect(place.url(), protocols=("chat",), compress=15) as ws,
        ):
            assert (ws.protocol, ws.compress) == ("chat", 15)
            assert ws._response.headers["X-Shard"] == "3"
            await ws.send_str("x" * 900)
            assert (await ws.receive()).data == "x" * 900
            await ws.send_str("x" * 1001)
            assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
            assert ws.close_code == 1009

    run_asyncio(main())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"protocols": "chat"}, "protocols must be a collection, not 'chat'"),
        ({"protocols": ["a chat"]}, "protocols[0] must be an HTTP token"),
        ({"max_msg_size": -1}, "max_msg_size must be at least 0, not -1"),
        ({"headers": {"X-Shard": "3\r\n"}}, "headers"),
    ],
)
def test_a_wrong_option_is_named(
    run_asyncio: Run, options: dict[str, Any], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with aiohttp_web(Hub(), **options) as place, client(place) as raw:
            assert raw.status == 500

    run_asyncio(main())
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert str(record.exc_info[1]).startswith(error)


def test_compression_can_be_refused_and_a_peer_names_its_subprotocol(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with (
            aiohttp_web(hub, compress=False, protocols=["chat"]) as place,
            aiohttp.ClientSession() as session,
            session.ws_connect(place.url(), protocols=("chat",), compress=15) as ws,
        ):
            assert ws.compress == 0
            await until(lambda: hub.peers)
            assert hub.peers[0].subprotocol == "chat"

    run_asyncio(main())


def test_a_handler_may_name_the_principal(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with aiohttp_web(hub, principal="ada") as place, client(place) as raw:
            await until(lambda: len(hub.user("ada")) == 1)
            hub.user("ada").send("hello")
            assert await raw.read() == (TEXT, b"hello")

    run_asyncio(main())


def test_the_response_is_that_of_the_websocket(run: Run) -> None:
    async def main() -> None:
        responses: list[web.WebSocketResponse] = []

        async def look(peer: Peer) -> None:
            response = peer.response
            responses.append(response)
            assert (response.status, response.prepared, response.ws_protocol) == (101, True, None)
            assert response.get_extra_info("peername")[1] == (peer.remote_address or ("", 0))[1]
            await response.send_json({"through": "aiohttp"})
            await echo(peer)
            assert response.close_code == 4001

        async with aiohttp_web(Hub(), look) as place, client(place) as raw:
            assert await raw.read() == (TEXT, b'{"through": "aiohttp"}')
            raw.frame(CLOSE, (4001).to_bytes(2))
            assert await raw.end() == "end of file"
        assert responses[0].closed

    run(main())


def test_a_response_that_is_closed_ends_the_peer(run: Run) -> None:
    async def main() -> None:
        hub = Hub()

        async def close(peer: Peer) -> None:
            await peer.response.close(code=4002, message=b"by aiohttp")
            await peer.wait_closed()

        async with aiohttp_web(hub, close) as place, websockets.connect(place.url()) as ws:
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4002, "by aiohttp")
            await until(lambda: not hub.peers)

    run(main())


def test_only_a_peer_of_aiohttp_has_a_response(run_asyncio: Run) -> None:
    from tests.server.links.back_ends import websockets_server

    async def main() -> None:
        hub = Hub()
        async with websockets_server(hub) as place, client(place):
            await until(lambda: hub.peers)
            with pytest.raises(AttributeError, match="by Hub"):
                _ = hub.peers[0].response

    run_asyncio(main())


def test_a_refusal_is_an_exception_of_aiohttp_that_middlewares_see(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[tuple[int, str]] = []

        @web.middleware
        async def watch(request: web.Request, handler: object) -> web.StreamResponse:
            try:
                return await handler(request)  # type: ignore[operator, no-any-return]
            except web.HTTPException as refused:
                seen.append((refused.status, refused.headers["Retry-After"]))
                raise

        app = application(Hub(authenticate=lambda request: Refusal(429, {"Retry-After": "3"})))
        app.middlewares.append(watch)
        async with running(app) as place, client(place) as raw:
            assert raw.status == 429
        assert seen == [(429, "3")]

    run_asyncio(main())


def test_what_is_no_request_is_named(run_asyncio: Run) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=r"request must be that of a handler of aiohttp\.web, not int"):
            async with Hub().aiohttp(3):  # type: ignore[arg-type]
                pass

    run_asyncio(main())


def test_a_handler_that_has_accepted_by_itself_is_told_so(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        told: list[str] = []

        async def handler(request: web.Request) -> web.WebSocketResponse:
            response = web.WebSocketResponse()
            await response.prepare(request)
            with pytest.raises(RuntimeError) as raised:
                async with hub.aiohttp(request):
                    pass
            told.append(str(raised.value))
            return response

        app = web.Application()
        app.router.add_get("/", handler)
        async with running(app) as place, client(place):
            await until(lambda: told)
        assert told == ["the request is answered already: hub.aiohttp takes the place of `prepare`"]
        assert hub.stats.admitted == 0

    run_asyncio(main())


def test_a_request_that_is_no_handshake_is_refused_as_by_aiohttp_and_takes_no_place(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(max_peers=1)
        async with aiohttp_web(hub) as place, aiohttp.ClientSession() as session:
            async with session.get(place.url(scheme="http")) as response:
                assert response.status == 400
            async with client(place):
                await until(lambda: hub.peers)
                async with session.get(place.url(scheme="http")) as response:
                    assert response.status == 400

    run_asyncio(main())


def test_a_handshake_that_fails_keeps_no_place_while_its_connection_is_kept_alive(run_asyncio: Run) -> None:
    async def main() -> None:
        async with aiohttp_web(Hub(max_peers=1)) as place, connect_bare(place) as raw:
            raw.writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            assert await raw.reader.readuntil(b" ") == b"HTTP/1.1 "
            assert await raw.reader.readuntil(b" ") == b"400 "
            async with client(place) as other:
                assert other.status == 101

    run_asyncio(main())


def test_a_peer_that_pings_and_does_not_read_takes_no_memory(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        pings = frame(PING, bytes(125)) * 1000
        async with aiohttp_web(hub, stay) as place, reluctant(place) as sock:
            await until(lambda: hub.peers)
            async with asyncio.timeout(PATIENCE):
                for _ in range(80):  # for 10 MB of pongs, of which the kernel takes some
                    await asyncio.get_running_loop().sock_sendall(sock, pings)
            assert hub.peers[0].buffered < 2**20
            hub.peers[0].abort()

    run(main())


def test_the_address_is_what_a_middleware_takes_from_a_proxy(run_asyncio: Run) -> None:
    async def main() -> None:
        @web.middleware
        async def believe(request: web.Request, handler: object) -> web.StreamResponse:
            clone = request.clone(remote=request.headers["X-Real-IP"])
            return await handler(clone)  # type: ignore[operator, no-any-return]

        requests: list[Request] = []
        hub = Hub(authenticate=requests.append)
        app = application(hub)
        app.middlewares.append(believe)
        async with running(app) as place, client(place, headers="X-Real-IP: 203.0.113.7\r\n"):
            await until(lambda: hub.peers)
        await hub.close()
        assert requests[0].remote_address == ("203.0.113.7", 0)

    run_asyncio(main())


# Shutdown


def test_on_shutdown_sends_every_peer_away_with_a_hint(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        hub = Hub(on_close=closes, close_timeout=PATIENCE)
        app = application(hub, stay)
        async with AsyncExitStack() as clients:
            async with running(app) as place:
                raw = await clients.enter_async_context(client(place))
                await until(lambda: hub.peers)

                async def answer() -> tuple[int, bytes]:
                    opcode, payload = await raw.read()
                    raw.frame(CLOSE, payload[:2])
                    assert await raw.end() == "end of file"  # though aiohttp does not read the answer
                    raw.leave()
                    return opcode, payload

                answering = asyncio.create_task(answer())
            assert await answering == (CLOSE, (1012).to_bytes(2) + b"restarting; retry-after=15")
        assert len(closes.seen) == 1
        await hub.close()

    run(main())


def test_a_message_in_hand_at_the_shutdown_is_handled_once(run_asyncio: Run, tmp_path: Path) -> None:
    handled: list[object] = []

    async def main() -> None:
        begun, goes_on, lost = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work(peer: Peer) -> None:
            async for message in peer:
                begun.set()
                await goes_on.wait()
                handled.append(message)

        def hub() -> Hub:
            return Hub(sessions=f"sqlite:///{tmp_path / 'sessions.db'}", close_timeout=PATIENCE)

        places: list[Place] = []
        connection = connect(lambda: places[-1].url(), session="require", on_close=lambda _: lost.set())
        async with AsyncExitStack() as stack:
            first = hub()
            async with aiohttp_web(first, work) as place:
                places.append(place)
                await stack.enter_async_context(connection)
                await connection.send("one")
                await begun.wait()
                shutdown = asyncio.create_task(first.on_shutdown(web.Application(), over=0))
                await lost.wait()
                assert not (await asyncio.wait([shutdown], timeout=0.2))[0]
                goes_on.set()
                await shutdown
            async with aiohttp_web(hub(), work) as place:
                places.append(place)
                await connection.send("two")
                await connection.flush()
                await connection.close()

    run_asyncio(main())
    assert handled == ["one", "two"]


MAIN = """
import asyncio
from functools import partial
from aiohttp import web
from websocket_heartbeat.server import Hub

hub = Hub(on_close=lambda peer, code, reason: print("gone", code, reason, flush=True))

async def feed(request):
    async with hub.aiohttp(request) as peer:
        print("here", flush=True)
        async for message in peer:
            await asyncio.sleep(3600 if message == "work" else 0)
    return peer.response

app = web.Application()
app.router.add_get("/", feed)
app.on_shutdown.append(partial(hub.on_shutdown, over=60))

def tell(text):
    print(text, flush=True)

web.run_app(app, host="127.0.0.1", port=0, print=tell, access_log=None, shutdown_timeout=1)
"""


def test_at_sigterm_every_peer_gets_its_hint_and_the_program_ends(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        script = tmp_path / "main.py"
        script.write_text(MAIN)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            line = (await process.stdout.readline()).decode()
            url = "ws" + line.split()[3].removeprefix("http")
            async with (
                websockets.connect(url, ping_interval=None) as idle,
                websockets.connect(url, ping_interval=None) as working,
            ):
                await working.send("work")
                for _ in range(2):
                    while b"here" not in await process.stdout.readline():
                        pass
                process.send_signal(signal.SIGTERM)
                for ws in (idle, working):
                    await ws.wait_closed()
                    assert ws.close_code == 1012
                    reason, _, seconds = (ws.close_reason or "").partition("; retry-after=")
                    assert reason == "restarting"
                    assert float(seconds) in (15, 45)
            output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
        assert output.decode().count("gone") == 2, output
        # asyncio's debugging tells of each call that took 0.1 s, as on a busy machine.
        assert [line for line in errors.decode().splitlines() if not line.startswith("Executing ")] == []
        assert process.returncode == 0

    run_asyncio(main())


def test_who_is_still_to_be_let_in_at_shutdown_is_refused(run_asyncio: Run) -> None:
    async def main() -> None:
        asked = asyncio.Event()
        answer = asyncio.Event()

        async def authenticate(request: Request) -> None:
            asked.set()
            await answer.wait()

        hub = Hub(authenticate=authenticate)
        app = application(hub)

        async def decide(app: web.Application) -> None:
            answer.set()

        app.on_shutdown.append(decide)
        async with running(app) as place:

            async def come() -> int:
                async with client(place) as raw:
                    return raw.status

            coming = asyncio.create_task(come())
            await asked.wait()
        assert await coming == 503
        await hub.close()

    run_asyncio(main())


def test_without_on_shutdown_a_handler_still_learns_that_the_server_ends(run_asyncio: Run) -> None:
    async def main() -> None:
        closes = Closes()
        hub = Hub(on_close=closes, idle_timeout=None)
        app = application(hub, echo)
        app.on_shutdown.clear()
        runner = web.AppRunner(app, shutdown_timeout=0.3)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{runner.addresses[0][1]}/"),
        ):
            await until(lambda: hub.peers)
            await runner.cleanup()
            await until(lambda: closes.seen)
            await hub.close()
        assert closes.seen == [(1, None, "ended without a close code")]

    run_asyncio(main())


def test_a_client_that_goes_while_a_large_message_is_compressed_for_it_is_no_error(run: Run) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def feed(peer: Peer) -> None:
            peer.send(os.urandom(2**21))
            await turns(5)  # it is with aiohttp's thread by now
            peer.abort()
            gone.set()

        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        async with aiohttp_web(Hub(), feed) as place, client(place, headers=offer) as raw:
            assert b"permessage-deflate" in raw.head
            await gone.wait()
            await until(lambda: len(asyncio.all_tasks()) == 1)  # aiohttp has done with it

    run(main())
