"""What is checked of each server. A check returns what its cell of docs/server/conformance.md says.

It raises where the server falls short of what holds everywhere. What is checked of endpoints that know
nothing of the hub is checked of ASGI servers alone: the others have none.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from tests.server.conformance.app import IDLE_TIMEOUT
from tests.server.conformance.clients import Client, fate, healthy, how_dropped, persistent
from tests.server.conformance.servers import BackEnd
from tests.server.raw import BINARY, CLOSE, PING, PONG, TEXT, client, frame, reluctant
from tests.watch import PATIENCE, until

from websocket_heartbeat import WebSocketHeartbeatError
from websocket_heartbeat.testing import FaultProxy

YES = "yes"

MUCH = 128 * 2**20
"""Bytes by which the memory of a server may grow. One that kept all would need more."""


@dataclass(frozen=True)
class Check:
    """One column of the table.

    best: what its cell says where nothing is amiss. meaning: what is checked.
    """

    name: str
    best: str
    meaning: str
    run: Callable[[BackEnd], Awaitable[str]]


CHECKS: dict[str, Check] = {}
"""All of them, by name, in the order of the columns."""

_numbers = itertools.count(1)


def _check(name: str, best: str = YES) -> Callable[[Callable[[BackEnd], Awaitable[str]]], Check]:
    """Make a check of a function, whose docstring says what it checks."""

    def make(run: Callable[[BackEnd], Awaitable[str]]) -> Check:
        CHECKS[name] = Check(name, best, " ".join((run.__doc__ or "").split()), run)
        return CHECKS[name]

    return make


def _name() -> str:
    """Return a name for a client, by which the back end knows it."""
    return f"client{next(_numbers)}"


def _paths(server: BackEnd, path: str) -> Sequence[str]:
    """Return the paths of the endpoints that do the same, one that knows the hub and one that does not."""
    return (path, f"/plain{path}") if server.kind.is_asgi else (path,)


# The agreement


@_check("heartbeats while busy")
async def busy(server: BackEnd) -> str:
    """30 messages wait unread while the endpoint works: a ping and a text heartbeat are answered meanwhile.

    Then all 30 come, in order.
    """
    for path in _paths(server, "/busy"):
        name = _name()
        async with healthy(server, f"{path}?{name}") as raw:
            for number in range(30):
                raw.frame(TEXT, b"%d" % number)
            raw.frame(PING, b"are you there")
            raw.frame(TEXT, b"heartbeat")
            answers = {await raw.read() for _ in range(2)}
            assert answers == {(PONG, b"are you there"), (TEXT, b"heartbeat")}
            await server.ask("release", name)
            assert [await raw.message() for _ in range(30)] == [b"%d" % number for number in range(30)]
    return YES


@_check("silent peer", best="reset")
async def silent(server: BackEnd) -> str:
    """A peer that has sent one heartbeat and answers nothing is pinged, and then dropped so."""
    found = await asyncio.gather(*(_dropped_as_silent(server, path) for path in _paths(server, "/echo")))
    assert len(set(found)) == 1, found
    return found[0]


async def _dropped_as_silent(server: BackEnd, path: str) -> str:
    name = _name()
    async with client(server, f"{path}?{name}", tls=server.tls) as raw:
        raw.frame(TEXT, b"heartbeat")
        assert await raw.read() == (TEXT, b"heartbeat")
        try:
            first = await raw.read()
        except ConnectionResetError:
            first = None
        how = await how_dropped(raw) if first is not None and first[0] == PING else "close, not pinged"
    code, reason = await server.answer("end", name)
    assert (code, reason) == (None, f"silent for {IDLE_TIMEOUT:g} s")
    return how


@_check("healthy peer")
async def kept(server: BackEnd) -> str:
    """A peer that answers pings and says nothing, and one that sends heartbeats only, are kept."""
    async with (
        healthy(server, f"/echo?{_name()}") as quiet,
        client(server, f"/echo?{_name()}", tls=server.tls) as beating,
    ):
        deadline = time.monotonic() + IDLE_TIMEOUT * 2
        while time.monotonic() < deadline:
            beating.frame(TEXT, b"heartbeat")
            assert await beating.read() == (TEXT, b"heartbeat"), "pinged, or worse"
            await asyncio.sleep(IDLE_TIMEOUT * 0.15)
        assert not quiet.has_news
        quiet.frame(TEXT, b"still here")
        assert await quiet.message() == b"still here"
    return YES


@_check("deaf peer", best="reset")
async def deaf(server: BackEnd) -> str:
    """A peer that reads nothing, but sends pongs: `drain` waits, memory is bounded, and it is dropped so."""
    name = _name()
    before = (await server.ask("facts"))["memory"]
    async with reluctant(server, f"/flood?{name}") as sock:

        async def talk() -> None:
            with suppress(OSError):
                while True:
                    await asyncio.get_running_loop().sock_sendall(sock, frame(PONG))
                    await asyncio.sleep(IDLE_TIMEOUT / 4)

        talking = asyncio.create_task(talk())
        code, reason = await server.answer("end", name)
        talking.cancel()
        assert code is None, code
        assert reason.startswith("did not read"), reason
        assert await server.answer("ending", name) in ("PeerGone", "CancelledError")
        grown = (await server.ask("facts"))["memory"] - before
        assert grown < MUCH, grown
        # Where it cannot be reset, what the hub has let go of may wait in the kernel for a peer that reads.
        return await fate(sock) if server.kind.can_reset else "let go"


@_check("flooding peer")
async def flooding(server: BackEnd) -> str:
    """A peer that sends 256 MiB to an endpoint that reads nothing: it has to wait, memory is bounded."""
    name = _name()
    before = (await server.ask("facts"))["memory"]
    sent = frame(BINARY, bytes(2**20))
    async with client(server, f"/busy?{name}", tls=server.tls) as raw:

        async def flood() -> None:
            for _ in range(2 * MUCH // 2**20):
                raw.writer.write(sent)
                await raw.writer.drain()

        flooding = asyncio.create_task(flood())
        await server.answer("paused", name)
        await asyncio.sleep(IDLE_TIMEOUT)  # in which it may take more, and is not dropped
        assert await server.ask("here", name)
        assert not flooding.done()
        flooding.cancel()
        grown = (await server.ask("facts"))["memory"] - before
        assert grown < MUCH, grown
        await server.ask("release", name)
    return YES


@_check("half-open peer", best="reset")
async def half_open(server: BackEnd) -> str:
    """The network loses everything from some moment on: the peer is dropped so."""
    name = _name()
    async with FaultProxy(server.host, server.port) as proxy, client(proxy, f"/echo?{name}") as raw:
        raw.frame(TEXT, b"heartbeat")
        assert await raw.read() == (TEXT, b"heartbeat")
        [upstream] = [sock for sock in proxy.sockets if sock.getpeername()[1] == server.port]
        proxy.freeze()
        code, reason = await server.answer("end", name)
        assert (code, reason) == (None, f"silent for {IDLE_TIMEOUT:g} s")
        return await fate(upstream)


# Parting


@_check("refusal", best="503")
async def refusal(server: BackEnd) -> str:
    """A client is refused with the status, its Retry-After and a body."""
    async with client(server, "/refused") as raw:
        if raw.status == 101:
            _, payload = await raw.read()
            return f"close {int.from_bytes(payload[:2])}, {payload[2:].decode()}"
        head = raw.head.decode().lower().split("\r\n")
        assert raw.status == 503
        assert "retry-after: 7" in head
        assert await raw.reader.readexactly(4) == b"full"
    return "503"


@_check("request")
async def request(server: BackEnd) -> str:
    """The back end knows of a client its address and port, path, query and headers."""
    name = _name()
    async with client(server, f"/echo?{name}", "X-Token: abc\r\n", tls=server.tls) as raw:
        address = list(raw.writer.get_extra_info("sockname"))
        assert await server.answer("asked", name) == [address, "/echo", name, "abc"]
    return YES


@_check("dismissal", best="message, 4500")
async def dismissal(server: BackEnd) -> str:
    """`dismiss` sends the message and then this close code, with its reason."""
    name = _name()
    async with healthy(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        await server.ask("dismiss", name, "you were banned")
        assert await raw.read() == (TEXT, b"dismissed")
        code, reason = await raw.farewell()
        assert reason in ("you were banned", "")
        await server.answer("end", name)
    return f"message, {code}{'' if reason else ' without reason'}"


@_check("sent away", best="1012 and hint")
async def sent_away(server: BackEnd) -> str:
    """`send_away` closes each of three clients with 1012 and a moment of its own to come back at."""
    name = _name()
    async with AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(healthy(server, f"/echo?{name}")) for _ in range(3)]
        await server.answer("here", name, is_right=lambda count: count == 3)
        asking = asyncio.create_task(server.ask("send away", name, 9))
        farewells = sorted([await raw.farewell() for raw in raws])
        await asking
    codes = {code for code, _ in farewells}
    assert len(codes) == 1
    hints = [reason for _, reason in farewells]
    if not any(hints):
        return f"{codes.pop()} without hint"
    assert hints == [f"restarting; retry-after={seconds}" for seconds in (1.5, 4.5, 7.5)]
    return f"{codes.pop()} and hint"


@_check("abort", best="reset")
async def abort(server: BackEnd) -> str:
    """What a client sees of `Peer.abort`."""
    name = _name()
    async with healthy(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        await server.ask("abort", name)
        how = await how_dropped(raw)
        assert await server.answer("end", name) == [None, "aborted"]
    return "close" if how.startswith("close") else how  # whatever the code


@_check("close codes", best="all")
async def codes(server: BackEnd) -> str:
    """Which of the close codes 1000, 1001, 1008, 1011 to 1013, 3000, 4000 and 4999 arrive as they were."""
    wrong = []
    for code in (1000, 1001, 1008, 1011, 1012, 1013, 3000, 4000, 4999):
        name = _name()
        async with healthy(server, f"/echo?{name}") as raw:
            await server.answer("here", name)
            await server.ask("close", name, code, "")
            seen, _ = await raw.farewell()
            if seen != code:
                wrong.append(f"{code} as {seen}")
    return ", ".join(wrong) or "all"


@_check("close reasons", best="all 123 bytes")
async def reasons(server: BackEnd) -> str:
    """How much of a reason arrives.

    A longer one is an error where the hub is called, and is cut where an endpoint that knows nothing of the
    hub says it.
    """
    name = _name()
    longest = "ü" * 61 + "."
    async with healthy(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        assert (await server.ask("close", name, 4400, longest + "!")).startswith("ValueError: reason must be")
        await server.ask("close", name, 4400, longest)
        _, reason = await raw.farewell()
        assert reason in (longest, "")
    if server.kind.is_asgi:
        async with healthy(server, f"/plain/talkative?{_name()}") as raw:
            code, cut = await raw.farewell()
            assert (code, cut) == (4400, "ü" * 61 if reason else "")
    return "all 123 bytes" if reason else "none"


@_check("the client's end", best="code and reason")
async def told(server: BackEnd) -> str:
    """What the back end learns of a client that closes.

    Of one that is reset it learns that, and so does an endpoint that only sends.
    """
    name, rude = _name(), _name()
    async with healthy(server, f"/echo?{name}") as raw:
        raw.frame(TEXT, b"hello")
        assert await raw.message() == b"hello"
        raw.frame(CLOSE, (4001).to_bytes(2) + b"bye")
        assert (await raw.read())[0] == CLOSE
        raw.leave()
        code, reason = await server.answer("end", name)
    async with healthy(server, f"/echo?{rude}") as raw:
        raw.frame(TEXT, b"hello")
        assert await raw.message() == b"hello"
        raw.reset()
        assert (await server.answer("end", rude))[0] is None
    if server.kind.is_asgi:
        feed = _name()
        async with healthy(server, f"/plain/feed?{feed}") as raw:
            assert await raw.message() == b"tick"
            raw.reset()
            assert await server.answer("ending", feed) == "told"
    return f"code{' and reason' if reason == 'bye' else ''}" if code == 4001 else "that it left"


# Messages


@_check("messages")
async def messages(server: BackEnd) -> str:
    """Text and binary messages, empty ones too, go both ways."""
    for path in _paths(server, "/echo"):
        async with healthy(server, f"{path}?{_name()}") as raw:
            for sent in (TEXT, "grüße".encode()), (BINARY, b"\0\xff"), (TEXT, b""), (BINARY, b""):
                raw.frame(*sent)
                assert await raw.read() == sent
    return YES


@_check("2 MiB")
async def large(server: BackEnd) -> str:
    """Messages of this size go both ways."""
    payload = b"0123456789abcdef" * (2**21 // 16)
    async with healthy(server, f"/echo?{_name()}") as raw:
        for opcode in (BINARY, TEXT):
            raw.frame(opcode, payload)
            assert await raw.read() == (opcode, payload)
    return YES


# Sessions


@_check("session")
async def session(server: BackEnd) -> str:
    """The links of a session are cut ten times while 400 messages are echoed: each comes back once, in order.

    Its endpoint begins once, and ends with the session. A client without one talks to the same meanwhile.
    """
    await asyncio.gather(*(_cut_ten_times(server, path) for path in _paths(server, "/echo")))
    return YES


async def _cut_ten_times(server: BackEnd, path: str) -> None:
    name = _name()
    async with (
        healthy(server, f"{path}?{_name()}") as plain,
        FaultProxy(server.host, server.port) as proxy,
        persistent(f"ws://{proxy.host}:{proxy.port}{path}?{name}") as (connection, events),
    ):

        async def send() -> None:
            for number in range(400):
                await connection.send(str(number))

        sending = asyncio.create_task(send())
        for number in range(400):
            async with asyncio.timeout(PATIENCE):
                assert await connection.recv() == str(number)
            if number % 40 == 20:
                proxy.reset()
                await until(lambda number=number: len(events) == number // 40 + 2)  # type: ignore[misc]
                plain.frame(TEXT, b"meanwhile")
                assert await plain.message() == b"meanwhile"
        await sending
        await connection.flush()
    assert [event.kind for event in events] == ["new", *["resumed"] * 10]
    assert await server.ask("begun", name) == 1
    assert await server.answer("end", name) == [1000, ""]


@_check("session parted")
async def parted(server: BackEnd) -> str:
    """A session goes on when its peer is closed, and when it is dropped; it is over when it is dismissed."""
    name = _name()
    async with persistent(server.url(f"/echo?{name}")) as (connection, events):
        await until(lambda: len(events) == 1)
        await server.ask("close", name, 1012, "")
        await until(lambda: len(events) == 2)
        await server.ask("abort", name)
        await until(lambda: len(events) == 3)
        await connection.send("hello")
        assert await connection.recv() == "hello"
        await server.ask("dismiss", name, "you were banned")
        with suppress(WebSocketHeartbeatError):
            async with asyncio.timeout(PATIENCE):
                await connection.recv()
        assert [event.kind for event in events] == ["new", "resumed", "resumed", "over"]
        assert (events[-1].why, events[-1].uncertain) == ("you were banned", ())
        assert await server.ask("begun", name) == 1
    return YES


# Endpoints


@_check("endpoint cancelled", best="1001")
async def cancelled(server: BackEnd) -> str:
    """With which close code a client is closed whose endpoint is cancelled."""
    name = _name()
    async with healthy(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        await server.ask("cancel", name)
        cell = await _after_endpoint(server, raw)
        assert await server.answer("ending", name) == "CancelledError"
    return cell


@_check("endpoint returns, raises", best="1000 and 1011")
async def ends(server: BackEnd) -> str:
    """With which close codes a client is closed whose endpoint has ended."""
    cells = []
    for path, ending in ("/returns", "returned"), ("/raises", "ZeroDivisionError"):
        name = _name()
        async with healthy(server, f"{path}?{name}") as raw:
            raw.frame(TEXT, b"go on")
            cells.append(await _after_endpoint(server, raw))
            assert await server.answer("ending", name) == ending
        if server.kind.is_asgi:
            async with healthy(server, f"/plain{path}?{_name()}") as raw:
                raw.frame(TEXT, b"go on")
                assert await _after_endpoint(server, raw) == cells[-1]
    return " and ".join(dict.fromkeys(cells))


async def _after_endpoint(server: BackEnd, raw: Client) -> str:
    """Return the code with which the client is closed; or, where a hook has ended, that it goes on."""
    if server.kind.has_endpoints:
        return str((await raw.farewell())[0])
    raw.frame(TEXT, b"heartbeat")
    assert await raw.read() == (TEXT, b"heartbeat")
    return "a hook: goes on"


# Many, and what is left of them


@_check("200 at once")
async def crowd(server: BackEnd) -> str:
    """So many clients connect, talk, are all here, talk, and leave."""

    async def one() -> None:
        async with healthy(server, f"/echo?{_name()}") as raw:
            raw.frame(TEXT, b"hello")
            assert await raw.message() == b"hello"
            here.append(raw)
            await all_here.wait()
            raw.frame(TEXT, b"goodbye")
            assert await raw.message() == b"goodbye"

    here: list[Client] = []
    all_here = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(one())
        await until(lambda: len(here) == 200)
        assert (await server.ask("facts"))["peers"] == 200
        all_here.set()
    return YES


@_check("left behind", best="nothing")
async def left_behind(server: BackEnd) -> str:
    """What is left of all the clients above: peers of the hub, tasks, sockets."""
    first = server.at_first

    def is_as_at_first(facts: dict[str, int]) -> bool:
        return facts["peers"] == 0 and all(facts[what] <= first[what] for what in ("tasks", "sockets"))

    await server.answer("facts", is_right=is_as_at_first)
    return "nothing"


@_check("session restart")
async def restart(server: BackEnd) -> str:
    """A session that is kept in SQLite goes on at the next process, after a SIGTERM."""
    name = _name()
    async with persistent(server.url(f"/echo?{name}")) as (connection, events):
        for life in range(2):
            for number in range(20):
                await connection.send(f"{life} {number}")
            for number in range(20):
                async with asyncio.timeout(PATIENCE):
                    assert await connection.recv() == f"{life} {number}"
            if life == 0:
                await connection.flush()
                await server.restart()
        assert [event.kind for event in events] == ["new", "resumed"]
        assert await server.ask("begun", name) == 1  # in this process
    return YES


@_check("SIGTERM")
async def sigterm(server: BackEnd) -> str:
    """What a client sees when the process is told to end; it does end, and complained of nothing before."""
    complaints = server.output()
    async with healthy(server, f"/echo?{_name()}") as raw:
        raw.frame(TEXT, b"hello")
        assert await raw.message() == b"hello"
        server.process.terminate()
        how = await how_dropped(raw)
    async with asyncio.timeout(PATIENCE):
        code = await server.process.wait()
    assert code in (0, -15, 143), code
    for word in "never retrieved", "was destroyed", "never awaited":
        assert word not in complaints, complaints[-4000:]
    raised = re.findall(r"^Traceback.*\n(?:[ ].*\n|\n)*(\S.*)", complaints, re.MULTILINE)
    expected = ("ZeroDivisionError", "CancelledError", "asyncio.exceptions.CancelledError")
    assert not [line for line in raised if not line.startswith(expected)], complaints[-4000:]
    stated = server.kind.short.get("SIGTERM", "")
    return stated if how in stated.split(" or ") else how
