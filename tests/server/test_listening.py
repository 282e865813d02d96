"""A server listens on every address that it is told, and nothing that it has accepted outlives it."""

import asyncio
import errno
import logging
import os
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import trustme
import websockets
from tests.certificates import tls_of_server
from tests.server.raw import PING, PONG, client, connect
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.server import Refusal, Request, Server, serve
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.hooks import Hooks
from websocket_heartbeat.server.links import listener
from websocket_heartbeat.server.links.endpoint import Endpoint
from websocket_heartbeat.server.links.terms import Terms
from websocket_heartbeat.server.origins import Origins
from websocket_heartbeat.server.places import Limits
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.roster import Commons, Roster


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    """What a server for wss needs."""
    return tls_of_server(trustme.CA())


async def _is_served(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.startswith(b"HTTP/1.1 400 ")


def test_all_addresses_of_this_machine_are_listened_on_at_one_port(run: Run) -> None:
    has_ipv6 = os.path.exists("/proc/net/if_inet6")

    async def main() -> None:
        async with serve(host="") as server:
            assert await _is_served("127.0.0.1", server.port)
            if has_ipv6:
                assert await _is_served("::1", server.port)

    run(main())


def test_an_address_that_this_machine_does_not_have_is_refused(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r"192\.0\.2\.1"):  # of the documentation: RFC 5737
            async with serve(host="192.0.2.1"):
                pass

    run(main())


def test_small_messages_leave_at_once(run: Run) -> None:
    async def main() -> None:
        endpoint = Endpoint("127.0.0.1", 0, None)
        terms = Terms(
            open_timeout=10,
            max_size=1000,
            compression=False,
            subprotocols=[],
            ssl=None,
            max_handshakes=1,
        )
        policy = Policy(None, None, open_timeout=10, close_timeout=5, write_limit=0, dismissal=None)
        roster = Roster(Commons(policy, Limits()))
        gate = Gate(roster, Hooks(), Origins(None), "on_handshake", None, None)
        listening = listener.Listener(gate, endpoint, terms, roster.log)
        await listening.listen()
        async with websockets.connect(endpoint.url("/", secure=False)):
            (handler,) = roster.here
            assert handler.link.socket is not None
            delay = handler.link.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 4)
            assert int.from_bytes(delay, sys.byteorder) == 1
            listening.abort()
            roster.abort()

    run(main())


@pytest.mark.parametrize("end", [Server.close, Server.abort])
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a hello"])
def test_a_connection_whose_tls_is_not_done_ends_with_the_server(
    run: Run, tls: ssl.SSLContext, end: Callable[[Server], Coroutine[Any, Any, None] | None], sent: bytes
) -> None:
    async def main() -> None:
        async with (
            serve(ssl=tls, open_timeout=300) as server,
            connect(server) as first,
            connect(server) as second,
        ):
            first.writer.write(sent)
            await _is_refused_without_tls(server)  # who came later, so the others were accepted
            ending = end(server)
            if ending is not None:
                await ending
            assert await first.end() == "reset"
            assert await second.end() == "reset"

    run(main())


@pytest.mark.parametrize("end", [Server.close, Server.abort])
@pytest.mark.parametrize("turns", range(5))
def test_a_connection_ends_with_the_server_in_whatever_turn_of_the_loop_it_was_accepted(
    run: Run, end: Callable[[Server], Coroutine[Any, Any, None] | None], turns: int
) -> None:
    async def main() -> None:
        async with serve(open_timeout=300) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as silent:
                silent.setblocking(False)
                for _ in range(turns):
                    await asyncio.sleep(0)
                ending = end(server)
                if ending is not None:
                    await ending
                async with asyncio.timeout(PATIENCE):
                    with suppress(ConnectionResetError):
                        assert await asyncio.get_running_loop().sock_recv(silent, 1) == b""

    run(main())


async def _is_refused_without_tls(server: Server) -> None:
    async with connect(server) as raw:
        raw.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await raw.end()


def test_tls_that_fails_or_hangs_is_said_to_no_log_but_for_debugging(
    run: Run, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(ssl=tls, open_timeout=0.2) as server, connect(server) as hanging:
            await _is_refused_without_tls(server)
            async with connect(server) as leaving:
                leaving.writer.write(b"\x16\x03\x01\x02\x00\x01")  # half a hello
                leaving.writer.write_eof()
                await leaving.end()
            assert await hanging.end() in ("end of file", "reset")

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    ended = [record for record in caplog.records if "ended before its handshake" in record.getMessage()]
    assert len(ended) == 3


def test_a_client_that_does_not_read_its_refusal_is_dropped_in_time(run: Run) -> None:
    answered: list[Request] = []

    def refuse(request: Request) -> Refusal:
        answered.append(request)
        return Refusal(503, body=bytes(30_000_000))  # more than the buffers of two kernels hold

    async def main() -> None:
        async with serve(on_handshake=refuse, open_timeout=0.3) as server, connect(server) as raw:
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            raw.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: answered)
            await asyncio.sleep(0.6)
            raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert await raw.end() == "reset"

    run(main())


def test_a_machine_without_descriptors_is_told_of_once_and_accepts_again_later(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept = socket.socket.accept
    failures = 0

    def exhausted(self: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal failures
        if failures == 0:
            failures += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(self)

    async def main() -> None:
        async with serve() as server, client(server) as raw:
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    monkeypatch.setattr(listener, "_PAUSE", 0.05)
    run(main())
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["no connection can be accepted for 0.05 s: Too many open files"]


def test_a_server_that_ends_while_it_waits_for_descriptors_accepts_nobody_more(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[None] = []

    def exhausted(self: socket.socket) -> tuple[socket.socket, Any]:
        failures.append(None)
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    async def main() -> None:
        async with serve() as server, connect(server):
            await until(lambda: failures)
        await asyncio.sleep(0.1)
        assert len(failures) == 1

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    monkeypatch.setattr(listener, "_PAUSE", 0.05)
    run(main())


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """A loop that cannot watch sockets, as that of Windows."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


@pytest.mark.parametrize("end", [Server.close, Server.abort])
def test_a_loop_that_cannot_watch_sockets_serves_too(
    end: Callable[[Server], Coroutine[Any, Any, None] | None],
) -> None:
    async def main() -> None:
        async with serve() as server:
            for _ in range(2):
                async with client(server) as raw:
                    raw.frame(PING)
                    assert await raw.read() == (PONG, b"")
            ending = end(server)
            if ending is not None:
                await ending
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                await asyncio.open_connection(server.host, server.port)

    with asyncio.Runner(loop_factory=LoopWithoutReaders) as runner:
        runner.run(main())
