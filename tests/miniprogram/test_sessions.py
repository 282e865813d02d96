"""Sessions of mini programs and pages, in Node, with our hub: nothing is lost or doubled, and all is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.conftest import Npm, installed
from tests.miniprogram.led import Program, led
from tests.miniprogram.real_hosts import HOSTS
from tests.miniprogram.session_programs import Ledger, Start, starter, told
from tests.watch import until

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, Request, serve
from websocket_heartbeat.testing import FaultProxy

KINDS = ["page", "wx"]
HOSTS_TOO = [*KINDS, "taro-h5", "taro-mini", "uni-h5", "emptied"]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def start(node: str, npm: Npm, real_hosts: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    return starter(node, npm, real_hosts, tmp_path_factory.mktemp("session"))


@pytest.mark.parametrize("kind", HOSTS_TOO)
def test_text_and_bytes_arrive_once_and_in_order_however_often_the_link_is_cut(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with (
            serve(hub=ledger.hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open", "new")
            for number in range(10):
                program.order(send=f"{number}é")
                program.order(bytes=[number, 255])
                if number % 3 == 0:
                    proxy.disconnect()
                    await program.until("open", "resumed")
            program.order(flush=True)
            await program.until("flushed")
            wanted: list[Any] = []
            for number in range(10):
                wanted += [f"{number}é", bytes([number, 255])]
            assert ledger.up == wanted
            assert len(ledger.hub.peers) == 1
            program.order(close="bye")
            await program.ended()
            assert [words[0] for words in told(program, "session")] == ["new", *["resumed"] * 4]
            heard = [words[0] for words in told(program, "message")]
            assert heard == [each if isinstance(each, str) else list(each) for each in wanted]
            await until(lambda: ledger.ends == [("bye", ())])

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_acknowledged_when_its_hook_is_done_and_the_next_one_waits_for_that(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with (
            serve(hub=ledger.hub) as server,
            start(kind, server.url(), holding=True) as program,
        ):
            await program.until("open", "new")
            for text in ("one", "two", "three"):
                ledger.hub.peers[0].send(text)
            await program.until("message", "one")
            program.order(handle=True)
            await program.until("message", "two")
            program.order(close="bye")
            await until(lambda: ledger.ends)
            assert ledger.ends == [("bye", ("two", "three"))]

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_the_link_that_a_renewal_opens_goes_on_with_the_session(kind: str, start: Start) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with serve(hub=ledger.hub) as server, start(kind, server.url()) as program:
            await program.until("open", "new")
            for number in range(30):
                if number % 10 == 5:
                    program.order(renew=True)
                program.order(send=str(number))
                ledger.hub.peers[0].send(f"push {number}")
                await asyncio.sleep(0.01)
            program.order(flush=True)
            await program.until("flushed")
            assert ledger.up == [str(number) for number in range(30)]
            await until(lambda: len(ledger.hub.peers) == 1)
            program.order(close="bye")
            await program.ended()
            heard = [words[0] for words in told(program, "message")]
            assert [text for text in heard if text.startswith("push")] == [f"push {n}" for n in range(30)]
            assert [text for text in heard if not text.startswith("push")] == ledger.up
            assert "resumed" in [words[0] for words in told(program, "session")]
            assert told(program, "reconnect") == []

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_half_open_link_is_noticed_by_a_probe_of_which_the_application_sees_nothing(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with (
            serve(hub=ledger.hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open", "new")
            for _ in range(2):
                await program.until("state", "probing")
                await program.until("state", "open")
            proxy.freeze()
            program.order(send="x")
            await program.until("close")
            proxy.disconnect()
            proxy.heal()
            await program.until("open", "resumed")
            await program.until("message", "x")
            assert ledger.up == ["x"]
            program.order(close="bye")
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_restart_of_a_server_that_kept_nothing_the_unacknowledged_is_told_and_not_sent_again(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        first, second = Ledger(), Ledger()
        async with (
            serve(hub=first.hub) as server,
            serve(hub=second.hub) as other,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open", "new")
            program.order(send="done")
            program.order(flush=True)
            await program.until("flushed")
            proxy.freeze()
            program.order(send="uncertain")
            program.order(bytes=[1, 2])
            await program.until("sent")
            await program.until("sent")
            proxy.retarget("127.0.0.1", other.port)
            proxy.disconnect()
            proxy.heal()
            await program.until("close")
            program.order(send="waits")
            assert await program.until("session", "reset") == [
                "session", "reset", "unknown", ["uncertain", [1, 2]],
            ]  # fmt: skip
            await program.until("open", "reset")
            await program.until("message", "waits")
            assert second.up == ["waits"]
            program.order(close="bye")
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_the_server_has_dismissed_handles_what_came_before_and_does_not_come_back(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with serve(hub=ledger.hub) as server, start(kind, server.url()) as program:
            await program.until("open", "new")
            peer = ledger.hub.peers[0]
            peer.send("before")
            peer.dismiss("account closed")
            await program.until("gave up", "account closed")
            program.order(end=True)
            await program.ended()
            assert told(program, "message") == [["before"]]
            assert told(program, "session")[-1] == ["over", "account closed", []]
            assert ["state", "failed"] in program.told
            assert not [event for event in program.told if event[0] == "reconnect"]
            await until(lambda: ledger.ends == [("account closed", ())])

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_without_binary_frames_bytes_travel_as_text_in_both_directions(kind: str, start: Start) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with (
            serve(hub=ledger.hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url(), how={"binary": False}) as program,
        ):
            await program.until("open", "new")
            program.order(bytes=[0, 127, 128, 255])
            assert await program.until("message") == ["message", [0, 127, 128, 255]]
            proxy.disconnect()
            program.order(bytes=[])
            await program.until("open", "resumed")
            assert await program.until("message") == ["message", []]
            for volatile in (False, True):
                ledger.hub.peers[0].send(b"\x80", volatile=volatile)
                assert await program.until("message") == ["message", [128]]
            assert ledger.up == [bytes([0, 127, 128, 255]), b""]
            program.order(close="bye")
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_volatile_message_is_sent_now_or_never(kind: str, start: Start) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with (
            serve(hub=ledger.hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url(), reconnectTimeout=1000) as program,
        ):
            await program.until("open", "new")
            proxy.refuse()
            proxy.disconnect()
            await program.until("state", "waiting")
            program.order(send="late", volatile=True)
            assert await program.until("sent") == ["sent", False]
            program.order(send="kept")
            assert await program.until("sent") == ["sent", True]
            proxy.accept()
            await program.until("open", "resumed")
            await program.until("message", "kept")
            program.order(send="now", volatile=True)
            assert await program.until("sent") == ["sent", True]
            await program.until("message", "now")
            ledger.hub.peers[0].send("from the server", volatile=True)
            await program.until("message", "from the server")
            assert ledger.up == ["kept", "now"]
            program.order(close="bye")
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_send_returns_false_when_neither_the_window_nor_the_queue_has_room(kind: str, start: Start) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        up: list[Message] = []

        async def hold(peer: Peer, message: Message) -> None:
            up.append(message)
            await gate.wait()

        hub = Hub(sessions="memory", on_message=hold)
        async with serve(hub=hub) as server, start(kind, server.url(), sendQueue=3) as program:
            await program.until("open", "new")
            for number in range(261):
                program.order(send=str(number))
            for number in range(261):
                assert await program.until("sent") == ["sent", number < 256 + 3]
            program.order(flush=True)
            gate.set()
            await program.until("flushed")
            assert up == [str(number) for number in range(259)]
            program.order(close="bye")
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_larger_than_the_server_takes_is_refused_and_the_session_goes_on(
    kind: str, start: Start
) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with (
            serve(hub=ledger.hub, max_size=1000) as server,
            start(kind, server.url()) as program,
        ):
            await program.until("open", "new")
            program.order(send="é" * 501)
            assert await program.until("sent") == ["sent", False]
            program.order(send="é" * 500)
            assert await program.until("sent") == ["sent", True]
            await program.until("message", "é" * 500)
            assert len(ledger.up) == 1
            program.order(close="bye")
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_flush_fails_when_the_connection_ends_before_all_is_acknowledged(kind: str, start: Start) -> None:
    async def main() -> None:
        ledger = Ledger()
        async with (
            serve(hub=ledger.hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            await program.until("open", "new")
            proxy.refuse()
            proxy.freeze()
            program.order(send="x")
            program.order(flush=True)
            await program.until("sent", True)
            proxy.disconnect()
            await program.until("close")
            program.order(close="bye")
            await program.until("not flushed")
            assert told(program, "session")[-1] == ["over", "closed", ["x"]]
            await program.ended()

    asyncio.run(main())


# Servers without sessions


@pytest.mark.parametrize("kind", HOSTS_TOO)
def test_a_server_that_selects_nothing_is_spoken_to_without_a_session_and_after_two_signs_not_asked(
    kind: str, start: Start
) -> None:
    offers: list[str | None] = []

    def note(request: Request) -> None:
        offers.append(request.header("Sec-WebSocket-Protocol"))

    async def main() -> None:
        async with (
            serve(on_handshake=note) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            start(kind, proxy.url()) as program,
        ):
            for _ in range(3):
                await program.until("open", None)
                program.order(send="plain")
                assert await program.until("message") == ["message", "plain"]
                proxy.disconnect()
            await program.until("open", None)
            ours = "websocket-heartbeat.v1"
            assert offers == [ours, None, ours, None, None, None]
            assert told(program, "session") == []
            program.order(close="bye")
            await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_selects_nothing_fails_whoever_requires_a_session(kind: str, start: Start) -> None:
    async def main() -> None:
        async with serve() as server, start(kind, server.url(), mode="require", repeatLimit=2) as program:
            await program.until("gave up")
            program.order(end=True)
            await program.ended()
            assert told(program, "open") == []

    asyncio.run(main())


@contextlib.asynccontextmanager
async def blind_server(node: str, npm: Npm) -> AsyncIterator[Program]:
    """The server of ws, which selects the first subprotocol whatever it is."""
    async with led(node, "blind.js", {"modules": str(installed(npm, HOSTS))}) as program:
        yield program


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_selects_blindly_gets_plain_messages(
    kind: str, start: Start, node: str, npm: Npm
) -> None:
    async def main() -> None:
        async with blind_server(node, npm) as server:
            _, port = await server.until("port")
            async with start(kind, f"ws://127.0.0.1:{port}/", openTimeout=1000) as program:
                program.order(send="early")
                await program.until("open", None)
                assert await program.until("message") == ["message", "early"]
                program.order(bytes=[1, 2])
                await program.until("message")  # of a page a Blob, as without sessions
                program.order(flush=True)
                await program.until("flushed")
                program.order(close="bye")
                await program.ended()
            server.order(heard=True)
            assert await server.until("heard") == ["heard", ["early", "\x01\x02"]]

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_frame_of_a_server_that_selects_blindly_is_delivered(
    kind: str, start: Start, node: str, npm: Npm
) -> None:
    async def main() -> None:
        async with blind_server(node, npm) as server:
            _, port = await server.until("port")
            async with start(kind, f"ws://127.0.0.1:{port}/hello") as program:
                assert await program.until("message") == ["message", '{"hello":"world"}']
                assert ["open", None, ""] in program.told
                program.order(send="x")
                assert await program.until("message") == ["message", "x"]
                program.order(close="bye")
                await program.ended()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_selects_blindly_ends_the_connection_of_whoever_requires_a_session(
    kind: str, start: Start, node: str, npm: Npm
) -> None:
    async def main() -> None:
        async with blind_server(node, npm) as server:
            _, port = await server.until("port")
            url = f"ws://127.0.0.1:{port}/hello"
            async with start(kind, url, mode="require") as program:
                await program.until("gave up", "the server has no sessions")
                program.order(end=True)
                await program.ended()
                assert told(program, "open") == []
                assert ["error", "the server has no sessions"] in program.told

    asyncio.run(main())
