"""The built file on Taro's and uni-app's own code, in Node, against our server over bad networks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.led import Program, led
from tests.miniprogram.real_hosts import HOSTS

from websocket_heartbeat.cli.js import library
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, serve
from websocket_heartbeat.testing import FaultProxy

KINDS = ["wx", "taro-h5", "taro-mini", "uni-h5", "emptied"]

QUICK = {"pingTimeout": 300, "pongTimeout": 1000, "reconnectTimeout": 100, "openTimeout": 3000}

Start = Callable[..., contextlib.AbstractAsyncContextManager[Program]]


@pytest.fixture(scope="module")
def start(node: str, real_hosts: Path) -> Start:
    file = real_hosts / "websocket-heartbeat.js"
    file.write_text(library("cjs", "miniprogram", minify=True))

    @contextlib.asynccontextmanager
    async def start(
        kind: str, url: str, is_late: bool = False, has_login: bool = False, **options: Any
    ) -> AsyncIterator[Program]:
        about = {
            "library": str(file),
            "kind": kind,
            "bundles": str(real_hosts),
            "modules": str(HOSTS / "node_modules"),
            "url": url,
            "options": {**QUICK, **options},
            "isLate": is_late,
            "hasLogin": has_login,
        }
        async with led(node, "real.js", about) as program:
            yield program

    return start


@pytest.mark.parametrize("kind", KINDS)
def test_messages_and_heartbeats_pass_and_closing_leaves_nothing(kind: str, start: Start) -> None:
    left: asyncio.Queue[tuple[int | None, str]] = asyncio.Queue()

    def gone(peer: Peer, code: int | None, reason: str) -> None:
        left.put_nowait((code, reason))

    async def main() -> None:
        async with (
            serve(on_close=gone) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open")
            program.order(send="hello")
            assert await program.until("message") == ["message", "hello"]
            for _ in range(3):
                await program.until("state", "probing")
                await program.until("message", "heartbeat")
            program.order(close={"code": 3000, "reason": "leaving"})
            await program.ended()
            assert ["state", "closed"] in program.told
            assert not [event for event in program.told if event[0] == "reconnect"]
            assert proxy.connections_accepted == 1
            code, _ = await left.get()
            # Taro's h5 lets the browser close without a code.
            assert code == (None if kind == "taro-h5" else 3000)

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_restarts_is_found_again(kind: str, start: Start) -> None:
    async def main() -> None:
        async with (
            serve() as first,
            FaultProxy("127.0.0.1", first.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open")
            first.abort()
            await program.until("close")
            # Nobody listens there for a while.
            await program.until("reconnect", 2)
            program.order(send="meanwhile")
            async with serve() as second:
                proxy.retarget("127.0.0.1", second.port)
                await program.until("open")
                assert await program.until("message") == ["message", "meanwhile"]
                await second.close()
                _, code, _ = await program.until("close")
                # Taro's h5 says so of every end.
                assert code == (1006 if kind == "taro-h5" else 1001)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "how"),
    # Taro's h5 hides the code.
    [(kind, how) for kind in KINDS for how in ("message", "code") if (kind, how) != ("taro-h5", "code")],
)
def test_a_client_that_is_dismissed_ends_and_leaves_nothing(kind: str, how: str, start: Start) -> None:
    options = {"dismissal": "dismissed"} if how == "message" else {"finalCloseCodes": [[4500, 4999]]}

    async def main() -> None:
        hub = Hub(dismissal="dismissed" if how == "message" else None)
        async with serve(hub=hub) as server, start(kind, server.url(), **options) as program:
            await program.until("open")
            hub.peers[0].send("hello")
            hub.peers[0].dismiss("banned", 4000 if how == "message" else 4500)
            await program.until("close")
            program.order(end=True)
            await program.ended()
            told = [event for event in program.told if event[0] not in ("open", "message")]
            assert ["state", "failed"] in told
            assert [event for event in told if event[0] == "reconnect"] == []
            assert [event for event in program.told if event[0] == "message"] == [["message", "hello"]]
            assert hub.peers == ()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_link_is_noticed_and_replaced_by_one_that_works(kind: str, start: Start) -> None:
    async def main() -> None:
        async with (
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open")
            proxy.freeze()
            await program.until("state", "probing")
            await program.until("close")
            await program.until("reconnect", 1)
            # What was frozen in stays there; only new connections are well.
            proxy.disconnect()
            proxy.heal()
            await program.until("open")
            program.order(send="again")
            assert await program.until("message") == ["message", "again"]
            program.order(close={})
            await program.ended()
            assert proxy.connections_accepted >= 2

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_attempts_that_hang_are_given_up_and_occupy_none_of_the_hosts_sockets(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        async with (
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
        ):
            proxy.hang()
            async with start(kind, proxy.url(), openTimeout=200) as program:
                # Taro's h5 has five.
                await program.until("reconnect", 7)
                assert proxy.connections_accepted == 7
                proxy.accept()
                await program.until("open")
                program.order(send="at last")
                assert await program.until("message") == ["message", "at last"]
                program.order(close={})
                await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_is_tried_until_it_is(kind: str, start: Start) -> None:
    async def main() -> None:
        async with serve() as server, FaultProxy("127.0.0.1", server.port) as proxy:
            proxy.refuse()
            async with start(kind, proxy.url()) as program:
                await program.until("reconnect", 3)
                program.order(send="early")
                proxy.accept()
                await program.until("open")
                assert await program.until("message") == ["message", "early"]
                program.order(close={})
                await program.ended()
                assert proxy.connections_accepted == 1

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_comes_by_a_promise_is_dialled_and_its_rejection_is_a_failed_attempt(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        async with (
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url(), is_late=True) as program,
        ):
            assert await program.until("error") == ["error", "request:fail"]
            assert await program.until("close") == ["close", None, "request:fail"]
            await program.until("reconnect", 1)
            await program.until("open")
            program.order(send="hello")
            assert await program.until("message") == ["message", "hello"]
            assert proxy.connections_accepted == 1
            program.order(close={})
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_for_a_link_is_sent_after_an_asynchronous_login(kind: str, start: Start) -> None:
    async def main() -> None:
        async with serve() as server, FaultProxy("127.0.0.1", server.port) as proxy:
            proxy.refuse()
            async with start(kind, proxy.url(), has_login=True) as program:
                await program.until("reconnect", 1)
                program.order(send="waits")
                proxy.accept()
                await program.until("open")
                assert await program.until("message") == ["message", "login"]
                assert await program.until("message") == ["message", "waits"]
                program.order(close={})
                await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_of_a_view_arrive_and_no_others(kind: str, start: Start) -> None:
    async def main() -> None:
        async with (
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open")
            program.order(words=[0x0102, 0xFFFE])
            assert await program.until("message") == ["message", [2, 1, 0xFE, 0xFF]]
            program.order(close={})
            await program.ended()

    asyncio.run(main())


# Taro's h5 hides the server's reason.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "taro-h5"])
def test_the_delay_that_a_server_asks_for_in_its_close_reason_is_kept(kind: str, start: Start) -> None:
    def send_away(peer: Peer) -> None:
        peer.close(1012, "restart, retry-after=1.5")

    async def main() -> None:
        async with serve(on_open=send_away) as server, start(kind, server.url()) as program:
            _, _, delay = await program.until("reconnect", 1)
            assert delay >= 1500

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_renewal_opens_the_next_link_before_the_old_one_is_closed_and_no_event_is_missed(
    kind: str, start: Start
) -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    def gone(peer: Peer, code: int | None, reason: str) -> None:
        codes.put_nowait(code)

    async def main() -> None:
        async with serve(on_close=gone) as server, start(kind, server.url()) as program:
            await program.until("open")
            reached: list[int] = []
            for number in range(120):
                if number % 40 == 20:
                    program.order(renew=True)
                reached.append(len(server.connections))
                for peer in server.connections:
                    peer.send(f"event {number}")
                await asyncio.sleep(0.01)
            program.order(send="the end")
            await program.until("message", "the end")
            assert min(reached) == 1
            heard = [words[1] for words in program.told if words[0] == "message"]
            # The last one before the next link was there went to the old one alone, and may be lost with it.
            under_way = {f"event {n}" for n in range(119) if (reached[n], reached[n + 1]) == (1, 2)}
            assert set(heard) >= {f"event {number}" for number in range(120)} - under_way
            said = [words for words in program.told if words[0] in ("open", "close", "reconnect", "error")]
            assert said == [["open"], *[["open"], ["close", 1000, "renewed"]] * 3]
            # Taro's h5 lets the browser close without a code.
            assert [await codes.get() for _ in range(3)] == [None if kind == "taro-h5" else 1000] * 3
            program.order(close={})
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_whose_login_is_rejected_is_closed_by_a_close_frame_and_a_renewal_leaves_the_old_one(
    kind: str, start: Start
) -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()
    logins: list[Peer] = []

    def answer(peer: Peer, message: Message) -> None:
        if message == "login":
            logins.append(peer)
        # The first login on a connection, and that of the renewal.
        peer.send("wrong" if message == "login" and len(logins) in (1, 3) else message)

    def gone(peer: Peer, code: int | None, reason: str) -> None:
        codes.put_nowait(code)

    async def main() -> None:
        async with (
            serve(answer, on_close=gone) as server,
            start(kind, server.url(), has_login=True) as program,
        ):
            assert await program.until("close") == ["close", None, "onOpen failed"]
            await program.until("reconnect", 1)
            await program.until("message", "login")
            program.order(renew=True)
            assert await program.until("close") == ["close", None, "onOpen failed"]
            assert await program.until("error") == ["error", "renewal failed: onOpen failed"]
            # Taro's h5 lets the browser close without a code.
            assert [await codes.get() for _ in range(2)] == [None if kind == "taro-h5" else 1000] * 2
            program.order(send="goes on")
            await program.until("message", "goes on")
            assert server.connections == (logins[1],)
            program.order(close={})
            await program.ended()

    asyncio.run(main())
