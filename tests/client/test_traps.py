"""The traps of other clients, each set up over real sockets: ours does not fall into it."""

import asyncio
import contextlib
import gc
import socket
import ssl
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from tests.client.conftest import PATIENCE, Run, World, turns, until
from tests.client.servers import alongside, in_a_thread, talk, well_behaved
from tests.engines.peers import (
    PING,
    PONG,
    TEXT,
    Peer,
    close_frame,
    frame,
    hang,
    raw_server,
    ws_server,
)

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    ConnectionFailed,
    HandshakeRejected,
    Heartbeat,
    HookFailed,
    Message,
    OpenEvent,
    ReconnectEvent,
    RedirectRefused,
    State,
    connect,
)
from websocket_heartbeat.engines.memory import MemoryPeer
from websocket_heartbeat.testing import FaultProxy, SimulatedClock

QUICK = Heartbeat(0.4, 0.4)
BOUND = 0.8
"""Seconds within which QUICK notices a dead link."""

SLACK = 6.0
"""Seconds that a loaded machine may add to what takes a fraction of one."""

SOON = Backoff(0.05, 5, 30)


class Log:
    """What the hooks of a connection were told, and when."""

    def __init__(self, connection: Connection) -> None:
        self.opens: list[float] = []
        self.closes: list[CloseEvent] = []
        self.errors: list[Exception] = []
        self.retries: list[ReconnectEvent] = []
        self.closed_at: list[float] = []
        connection.on_open = lambda event: self.opens.append(time.monotonic())
        connection.on_close = self.closed
        connection.on_error = self.errors.append
        connection.on_reconnect = self.retries.append

    def closed(self, event: CloseEvent) -> None:
        self.closes.append(event)
        self.closed_at.append(time.monotonic())


def test_trap_1_a_server_that_accepts_and_closes_at_once_is_not_hammered(run_asyncio: Run) -> None:
    async def reject_key(peer: Peer) -> None:
        peer.write(close_frame(1008, "bad key"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(reject_key) as server:
            async with connect(server.url(), backoff=Backoff(0.2, 10, 30)) as connection:
                log = Log(connection)
                await asyncio.sleep(2)
            # One after another at 0.2 s would be 10; the clients that hammer made hundreds.
            assert 2 <= server.connections <= 12
            assert [event.attempt for event in log.retries] == list(range(1, len(log.retries) + 1))
            assert all(event.code == 1008 for event in log.closes[:-1])

    run_asyncio(main())


def test_trap_1_over_a_simulated_hour_the_attempts_become_rare(
    world: World, play: Run, simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        times: list[float] = []

        def reject(peer: MemoryPeer) -> None:
            times.append(simulated_clock.now())
            peer.close(1008)

        world.engine.on_peer = reject
        async with world.connect(backoff=Backoff(1, 60, 30)):
            await asyncio.sleep(3600)
        assert len(times) < 400
        assert len([at for at in times if at < 10]) < 10

    play(main())


def test_trap_2_a_half_open_link_is_noticed_in_time_though_the_send_buffer_is_full(run: Run) -> None:
    async def main() -> None:
        async with ws_server(well_behaved) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = connect(proxy.url(), heartbeat=QUICK, backoff=SOON, send_queue=4, close_timeout=0.5)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                proxy.freeze()
                since = time.monotonic()
                block = b"x" * 500_000
                async with asyncio.timeout(PATIENCE):
                    sending = asyncio.create_task(connection.send(block))
                    await turns(3)
                    while sending.done():  # until there is no room, in the queue neither
                        sending = asyncio.create_task(connection.send(block))
                        await turns(3)
                sending.cancel()
                assert not log.closes
                await until(lambda: log.closes)
                assert BOUND * 0.9 <= log.closed_at[0] - since <= BOUND + SLACK
                assert log.closes[0].reason.startswith("heartbeat timeout")
                assert log.closes[0].unsent_bytes > 0
                proxy.heal()
                await until(lambda: connection.stats.links >= 2)

    run(main())


def test_trap_3_a_pong_that_lies_in_the_kernel_while_our_loop_is_blocked_saves_the_link(run: Run) -> None:
    async def main() -> None:
        with in_a_thread(well_behaved) as url:
            connection = connect(url, heartbeat=QUICK, backoff=SOON)
            log = Log(connection)
            blocked = 0

            @connection.on_state
            def block_the_loop(state: State) -> None:
                nonlocal blocked
                if state == "probing" and blocked < 3:  # the ping has just been sent
                    blocked += 1
                    time.sleep(1.2)  # far longer than the timeout

            async with connection:
                await connection.wait_open(PATIENCE)
                await until(lambda: blocked == 3)
                await until(lambda: connection.state == "open")
                assert log.closes == []
                assert connection.stats.links == 1

    run(main())


def test_trap_4_a_slow_consumer_does_not_lose_a_live_link(run: Run) -> None:
    async def main() -> None:
        count = 4000
        block = b"y" * 1000

        async def pour(peer: Peer) -> None:
            for number in range(count):
                peer.write(frame(TEXT, b"%d " % number + block))
                await peer.writer.drain()
            await well_behaved(peer)

        async with ws_server(pour) as server:
            connection = connect(server.url(), heartbeat=QUICK, backoff=SOON, receive_queue=4)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.sleep(BOUND * 3)
                assert log.closes == []
                for number in range(count):
                    message = await asyncio.wait_for(connection.recv(), PATIENCE)
                    assert str(message).startswith(f"{number} ")
                assert log.closes == []

    run(main())


def test_trap_5_data_is_proof_of_life_though_pongs_never_come(run_asyncio: Run) -> None:
    async def read(peer: Peer) -> None:
        while True:
            await peer.read_frame()

    async def data_without_pongs(peer: Peer) -> None:
        await alongside(peer, lambda peer: talk(peer, 0.6), read)

    async def main() -> None:
        async with ws_server(data_without_pongs) as server:
            connection = connect(server.url(), heartbeat=Heartbeat(0.3, 1.5), close_timeout=0.2)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.sleep(3.5)
                assert log.closes == []
                assert connection.stats.pings >= 2

    run_asyncio(main())


def test_trap_6_a_dead_link_is_given_up_without_a_closing_handshake(run_asyncio: Run) -> None:
    async def main() -> None:
        async with ws_server(well_behaved) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = connect(proxy.url(), heartbeat=QUICK, backoff=SOON, close_timeout=60)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                proxy.freeze()
                since = time.monotonic()
                await until(lambda: log.closes)
                assert BOUND * 0.9 <= time.monotonic() - since <= BOUND + SLACK
                proxy.heal()
                await until(lambda: connection.stats.links >= 2)

    run_asyncio(main())


@pytest.mark.parametrize("reading", ["iterates", "hook", "nobody"])
def test_trap_7_close_returns_in_time_though_the_peer_keeps_talking(reading: str, run: Run) -> None:
    async def main() -> None:
        async def deaf(peer: Peer) -> None:
            await talk(peer, 0.001)

        async with ws_server(deaf) as server:
            connection = connect(server.url(), close_timeout=0.5, receive_queue=4)
            got: list[Message] = []
            if reading == "hook":
                connection.on_message = got.append
            async with connection:
                await connection.wait_open(PATIENCE)
                if reading == "iterates":
                    await asyncio.wait_for(connection.recv(), PATIENCE)
                await asyncio.sleep(0.2)
                since = time.monotonic()
                await connection.close()
                assert time.monotonic() - since <= 0.5 + SLACK

    run(main())


def test_trap_7_close_does_not_wait_behind_messages_that_nobody_reads(run_asyncio: Run) -> None:
    async def main() -> None:
        async def pour(peer: Peer) -> None:
            for _ in range(300):
                peer.write(frame(TEXT, b"x" * 2000))
            await well_behaved(peer)

        async with ws_server(pour) as server:
            connection = connect(server.url(), close_timeout=PATIENCE, receive_queue=1)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.sleep(0.3)
                since = time.monotonic()
                await connection.close()
                assert time.monotonic() - since < PATIENCE / 2
            assert log.closes == [CloseEvent(1, "we closed the connection", 1000)]

    run_asyncio(main())


def test_trap_8_a_link_that_opens_after_it_was_given_up_is_dropped_unheard(run_asyncio: Run) -> None:
    async def main() -> None:
        late: list[Peer] = []
        dropped = asyncio.Event()
        second = asyncio.Event()

        async def handler(peer: Peer) -> None:
            await peer.read_request()
            if not late:
                late.append(peer)
                await second.wait()
                peer.write(peer.response() + frame(TEXT, b"stale") + close_frame(4000))
                await peer.gone()
                dropped.set()
                return
            peer.write(peer.response())
            second.set()
            await well_behaved(peer)

        async with raw_server(handler) as server:
            connection = connect(server.url(), open_timeout=0.5, backoff=SOON)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.wait_for(dropped.wait(), PATIENCE)
                await connection.send("current")
                assert await asyncio.wait_for(connection.recv(), PATIENCE) == "current"
                assert log.closes == []
                assert connection.stats.links == 1

    run_asyncio(main())


def test_trap_8_a_replaced_link_is_closed_and_its_late_events_change_nothing(run_asyncio: Run) -> None:
    async def main() -> None:
        here: set[Peer] = set()

        async def chatty(peer: Peer) -> None:
            here.add(peer)
            text = f"from {len(here)}".encode()
            try:
                await alongside(peer, lambda peer: talk(peer, 0.001, text), well_behaved)
            finally:
                here.discard(peer)

        async with ws_server(chatty) as server:
            connection = connect(server.url(), backoff=SOON)
            log = Log(connection)
            async with connection:
                for link in range(1, 6):
                    await until(lambda link=link: connection.stats.links == link)  # type: ignore[misc]
                    await asyncio.wait_for(connection.recv(), PATIENCE)
                    connection.reconnect_now()
                    assert connection.native is None
                await until(lambda: connection.stats.links == 6)
                async with asyncio.timeout(SLACK):  # later the server itself gives up on silent clients
                    await until(lambda: len(here) == 1)
                assert [event.link for event in log.closes] == [1, 2, 3, 4, 5]
                assert {event.reason for event in log.closes} == {"reconnect requested"}
                await asyncio.wait_for(connection.recv(), PATIENCE)

    run_asyncio(main())


@pytest.mark.parametrize("hangs", [False, True])
def test_trap_9_cancelled_at_any_moment_the_task_ends_and_no_socket_stays(hangs: bool, run: Run) -> None:
    async def slow(peer: Peer) -> None:
        await asyncio.sleep(0.01)
        await peer.read_request()
        await asyncio.sleep(0.01)
        if hangs:
            await peer.gone()
        peer.write(peer.response())
        await well_behaved(peer)

    async def headers() -> dict[str, str]:
        await asyncio.sleep(0.005)
        return {}

    async def user(url: str) -> None:
        async with connect(url, additional_headers=headers, close_timeout=60) as connection:
            await connection.wait_open()
            await connection.send("x")
            await connection.recv()
            await connection.drain()
            await asyncio.sleep(0.01)
            await connection.close()

    async def main() -> None:
        async with raw_server(slow) as server:
            cancelled = finished = step = 0
            while not finished and step < 25:
                task = asyncio.create_task(user(server.url()))
                await asyncio.sleep(0)
                await asyncio.wait([task], timeout=step * 0.002)
                finished = task.done()
                since = time.monotonic()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                assert time.monotonic() - since < PATIENCE
                assert finished or task.cancelled()
                cancelled += task.cancelled()
                step += 1
            assert cancelled >= 5
            await turns(5)
            assert asyncio.all_tasks() - {asyncio.current_task()} <= server_tasks(server.url())

    def server_tasks(url: str) -> set[asyncio.Task[Any]]:
        return {
            task for task in asyncio.all_tasks() if "start_server" in repr(task) or "connected" in repr(task)
        }

    run(main())


def test_trap_10_tasks_of_hooks_are_not_collected_and_their_errors_are_told(run_asyncio: Run) -> None:
    async def main() -> None:
        async with ws_server(well_behaved) as server:
            connection = connect(server.url())
            log = Log(connection)
            waiting: list[weakref.ref[asyncio.Future[None]]] = []
            done: list[str] = []

            async def wait_for_what_only_this_task_knows(event: Any) -> None:
                if isinstance(event, State) and event != "open":
                    return
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                waiting.append(weakref.ref(future))
                await future
                done.append("done")
                raise LookupError("mistake")

            def release(reference: weakref.ref[asyncio.Future[None]]) -> None:
                future = reference()
                assert future is not None
                future.set_result(None)

            connection.on_state = wait_for_what_only_this_task_knows
            connection.on_open = wait_for_what_only_this_task_knows
            connection.on_message = wait_for_what_only_this_task_knows
            async with connection:
                for count in (2, 3):
                    await until(lambda count=count: len(waiting) == count)  # type: ignore[misc]
                    gc.collect()
                    for reference in waiting[len(done) :]:
                        release(reference)
                    await until(lambda count=count: len(done) == count)  # type: ignore[misc]
                    await connection.wait_open(PATIENCE)
                    await connection.send("echo")
                await turns()
            assert [str(error) for error in log.errors] == [
                "on_state raised LookupError",
                "on_open raised LookupError",
                "on_message raised LookupError",
            ]
            assert all(isinstance(error, HookFailed) for error in log.errors)

    run_asyncio(main())


def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_trap_12_a_certificate_that_does_not_verify_is_final_and_a_429_is_not(run_asyncio: Run) -> None:
    async def busy_once(peer: Peer) -> None:
        await peer.read_request()
        if server_calls:
            peer.write(peer.response())
            await well_behaved(peer)
        else:
            server_calls.append(1)
            peer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")

    server_calls: list[int] = []

    async def main() -> None:
        async with (
            ws_server(well_behaved, tls=tls(trustme.CA())) as server,
            connect(server.url(scheme="wss"), ssl=trusting(trustme.CA())) as connection,
        ):
            with pytest.raises(ConnectionFailed) as caught:
                await asyncio.wait_for(connection.wait_closed(), PATIENCE)
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            assert connection.stats.attempts == 1
        async with raw_server(busy_once) as server, connect(server.url(), backoff=SOON) as connection:
            await connection.wait_open(PATIENCE)
            assert connection.stats.attempts == 2

    run_asyncio(main())


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_trap_13_a_server_that_closes_politely_is_connected_to_again(code: int | None, run: Run) -> None:
    async def main() -> None:
        polite: list[int] = []

        async def close_twice(peer: Peer) -> None:
            if len(polite) < 2:
                polite.append(1)
                peer.write(close_frame(code))
                await peer.gone()
            else:
                peer.write(frame(TEXT, b"third time lucky"))
                await well_behaved(peer)

        async with ws_server(close_twice) as server:
            connection = connect(server.url(), backoff=SOON)
            log = Log(connection)
            async with connection:
                async for message in connection:
                    assert message == "third time lucky"
                    break
                assert [event.code for event in log.closes] == [code, code]

    run(main())


def test_trap_14_a_wall_clock_that_is_set_changes_nothing(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    offset = [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])

    async def main() -> None:
        async with ws_server(well_behaved) as server:
            connection = connect(server.url(), heartbeat=Heartbeat(0.1, 2))
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                for jump in (86400.0, -86400.0, 0.0):
                    offset[0] = jump
                    pings = connection.stats.pings
                    await until(lambda pings=pings: connection.stats.pings >= pings + 2)  # type: ignore[misc]
                assert log.closes == []
                assert connection.latency is not None
                assert 0 <= connection.latency < 2

    run_asyncio(main())


async def drip(peer: Peer) -> None:
    """Answer the handshake one byte at a time, each soon enough for a timeout that begins anew."""
    await peer.read_request()
    for byte in b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 1000:
        peer.write(bytes([byte]))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("where", ["handshake", "slow handshake", "tls", "http proxy", "socks proxy", "dns"])
def test_trap_16_whatever_hangs_while_opening_one_open_timeout_covers_it(
    where: str, run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with raw_server(drip if where == "slow handshake" else hang) as server:
            url, proxy = server.url(), None
            if where == "tls":
                url = server.url(scheme="wss")
            elif where.endswith("proxy"):
                scheme = "http" if where == "http proxy" else "socks5"
                url, proxy = "ws://127.0.0.1:9/", f"{scheme}://127.0.0.1:{server.port}"
            elif where == "dns":
                url = f"ws://service.invalid:{server.port}/"
                monkeypatch.setattr(loop, "getaddrinfo", lambda *a, **k: asyncio.Event().wait())
            connection = connect(url, proxy=proxy, open_timeout=0.5, backoff=SOON)
            log = Log(connection)
            async with connection:
                since = time.monotonic()
                await until(lambda: log.errors)
                assert 0.4 <= time.monotonic() - since <= 0.5 + SLACK
                assert isinstance(log.errors[0], TimeoutError)
                await until(lambda: connection.stats.attempts >= 2)
                assert log.retries[0].reason == "open timeout"

    run_asyncio(main())


def test_trap_16_a_name_that_does_not_resolve_for_a_while_is_asked_for_again(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo
        asked: list[Any] = []

        async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
            asked.append(host)
            if len(asked) <= 2:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return await real("127.0.0.1", port, **options)

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        async with ws_server(well_behaved) as server:
            connection = connect(f"ws://service.invalid:{server.port}/", backoff=SOON)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
            assert asked == ["service.invalid"] * 3
            assert [type(error) for error in log.errors] == [socket.gaierror] * 2

    run_asyncio(main())


def test_trap_17_no_ping_comes_before_the_application_s_first_frame(run_asyncio: Run) -> None:
    async def main() -> None:
        kinds: list[int] = []

        async def note(peer: Peer) -> None:
            while True:
                got = await peer.read_frame()
                kinds.append(got.opcode)
                if got.opcode == PING:
                    peer.write(frame(PONG, got.payload))

        async with ws_server(note) as server:
            connection = connect(server.url(), heartbeat=Heartbeat(1, 5), close_timeout=0.1)

            @connection.on_open
            async def login(event: OpenEvent) -> None:
                await asyncio.sleep(0.3)
                await connection.send("token")

            async with connection:
                await until(lambda: PING in kinds)
        assert kinds[0] == TEXT

    run_asyncio(main())


def test_trap_18_a_ping_that_the_last_link_owed_is_not_held_against_the_next(run_asyncio: Run) -> None:
    async def main() -> None:
        probed = asyncio.Event()
        pinged: list[float] = []

        async def first_dies_while_probed(peer: Peer) -> None:
            if not probed.is_set():
                while (await peer.read_frame()).opcode != PING:
                    pass
                probed.set()
                peer.reset()
                return
            while True:
                got = await peer.read_frame()
                if got.opcode == PING:
                    pinged.append(time.monotonic())
                    peer.write(frame(PONG, got.payload))

        async with ws_server(first_dies_while_probed) as server:
            connection = connect(
                server.url(), heartbeat=Heartbeat(0.6, 2), backoff=Backoff(0.01, 1, 30), close_timeout=0.1
            )
            log = Log(connection)
            async with connection:
                await until(lambda: len(pinged) == 3)
                assert [event.link for event in log.closes] == [1]
                assert pinged[0] - log.opens[1] >= 0.55
                assert connection.latency is not None
                assert connection.latency < 2

    run_asyncio(main())


def test_trap_19_hooks_are_called_after_every_reconnect(run_asyncio: Run) -> None:
    async def main() -> None:
        async def reset_soon(peer: Peer) -> None:
            peer.write(frame(TEXT, b"hello"))
            await peer.read_frame()
            peer.reset()

        async with ws_server(reset_soon) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = connect(proxy.url(), backoff=Backoff(0.02, 1, 30), close_timeout=0.1)
            log = Log(connection)
            got: list[Message] = []
            connection.on_message = got.append
            async with connection:
                for link in range(1, 5):
                    await until(lambda link=link: len(got) == link)  # type: ignore[misc]
                    proxy.refuse()
                    await connection.send("reset")
                    await until(lambda link=link: len(log.errors) >= link)  # type: ignore[misc]
                    proxy.accept()
                await until(lambda: len(got) == 5)
            assert len(log.opens) == 5
            assert len(log.closes) == 5
            assert len(log.retries) >= 8

    run_asyncio(main())


async def _answer(peer: Peer, *lines: str) -> None:
    await peer.read_request()
    peer.write(("\r\n".join([*lines, "Content-Length: 0", "", ""])).encode())
    await peer.gone()


def test_trap_20_credentials_do_not_follow_a_redirect_to_another_origin(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[list[tuple[str, str]]] = []

        async def other(peer: Peer) -> None:
            await peer.read_request()
            seen.append(peer.headers)
            peer.write(peer.response())
            await well_behaved(peer)

        async def redirecting(peer: Peer) -> None:
            await _answer(peer, "HTTP/1.1 302 Found", f"Location: {target.url('/elsewhere')}")

        async with raw_server(other) as target, raw_server(redirecting) as server:
            url = f"ws://user:password@127.0.0.1:{server.port}/"
            async with connect(url, additional_headers={"Cookie": "s=1", "X-Key": "k"}) as connection:
                await connection.wait_open(PATIENCE)
        names = [name for name, _ in seen[0]]
        assert not {"authorization", "cookie", "x-key"} & set(names)

    run_asyncio(main())


def test_trap_20_a_redirect_that_gives_up_encryption_is_refused(run_asyncio: Run) -> None:
    async def main() -> None:
        authority = trustme.CA()
        async with ws_server(well_behaved) as plain:

            async def redirecting(peer: Peer) -> None:
                await _answer(peer, "HTTP/1.1 308 Permanent Redirect", f"Location: {plain.url()}")

            async with (
                raw_server(redirecting, tls(authority)) as server,
                connect(server.url(scheme="wss"), ssl=trusting(authority)) as connection,
            ):
                with pytest.raises(ConnectionFailed, match="give up encryption") as caught:
                    await asyncio.wait_for(connection.wait_closed(), PATIENCE)
                assert isinstance(caught.value.__cause__, RedirectRefused)
            assert plain.connections == 0

    run_asyncio(main())


def test_trap_21_a_rejection_keeps_status_headers_and_the_beginning_of_the_body(run_asyncio: Run) -> None:
    async def main() -> None:
        async def forbid(peer: Peer) -> None:
            await peer.read_request()
            body = b'{"error": "plan expired"}'
            peer.write(
                b"HTTP/1.1 403 Forbidden\r\nX-Request-Id: 77\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await peer.gone()

        async with raw_server(forbid) as server, connect(server.url()) as connection:
            with pytest.raises(ConnectionFailed, match="403") as caught:
                await asyncio.wait_for(anext(connection), PATIENCE)
            cause = caught.value.__cause__
            assert isinstance(cause, HandshakeRejected)
            assert cause.status == 403
            assert cause.header("x-request-id") == "77"
            assert cause.body == b'{"error": "plan expired"}'

    run_asyncio(main())


def test_trap_22_the_receive_queue_is_bounded_and_the_server_feels_it(run_asyncio: Run) -> None:
    async def main() -> None:
        sent: list[int] = []
        total = 400
        block = b"z" * 100_000

        async def pour(peer: Peer) -> None:
            peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            for number in range(total):
                peer.write(frame(TEXT, b"%d " % number + block))
                await peer.writer.drain()
                sent.append(number)
            await well_behaved(peer)

        async with ws_server(pour) as server:
            connection = connect(server.url(), receive_queue=4, heartbeat=QUICK)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                before = -1
                while before != len(sent):  # until the server is stuck
                    before = len(sent)
                    await asyncio.sleep(0.3)
                assert len(sent) < total / 2
                assert len(connection._inbox) < 50
                for number in range(total):
                    message = await asyncio.wait_for(connection.recv(), PATIENCE)
                    assert str(message).startswith(f"{number} ")
            assert log.closes[:-1] == []

    run_asyncio(main())


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_the_main_path_holds_on_every_loop_and_over_tls(scheme: str, run: Run) -> None:
    async def main() -> None:
        authority = trustme.CA()
        trust = None if scheme == "ws" else trusting(authority)
        async with (
            ws_server(well_behaved, tls=None if scheme == "ws" else tls(authority)) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
        ):
            connection = connect(proxy.url(scheme=scheme), ssl=trust, heartbeat=QUICK, backoff=SOON)
            log = Log(connection)
            faults: list[Callable[[], Any]] = [proxy.reset, proxy.disconnect, proxy.freeze]
            async with connection:
                for number, fault in enumerate(faults, 1):
                    await until(lambda number=number: connection.stats.links >= number)  # type: ignore[misc]
                    await connection.send("ä" * 1000)
                    await connection.send(b"\0" * 100_000)
                    assert await asyncio.wait_for(connection.recv(), PATIENCE) == "ä" * 1000
                    assert await asyncio.wait_for(connection.recv(), PATIENCE) == b"\0" * 100_000
                    await until(lambda: connection.stats.pings)
                    fault()
                    await until(lambda number=number: len(log.closes) >= number)  # type: ignore[misc]
                    proxy.heal()
                await until(lambda: connection.stats.links >= 4)
                stats = connection.stats
                assert stats.bytes_sent > 300_000
                assert stats.bytes_received > 300_000
            assert log.closes[-1].reason == "we closed the connection"

    run(main())
