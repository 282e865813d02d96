"""What is checked of each server. A check returns what its cell of the table in docs/server.md says.

It raises where the server falls short of what holds everywhere. What is checked of endpoints that know
nothing of the hub is checked of ASGI servers alone: the others have none.
"""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

from tests.server.conformance.app import IDLE_TIMEOUT
from tests.server.conformance.servers import BackEnd
from tests.server.raw import BINARY, CLOSE, PING, PONG, TEXT, Raw, client, frame, reluctant

from websocket_heartbeat.testing import FaultProxy

YES = "yes"

Check = Callable[[BackEnd], Awaitable[str]]

_numbers = itertools.count(1)


def _name() -> str:
    """Return a name for a client, by which the back end knows it."""
    return f"client{next(_numbers)}"


async def _next(raw: Raw) -> tuple[int, bytes]:
    """Return the next frame that is neither ping nor pong; pings are answered, as every healthy client does."""
    while True:
        opcode, payload = await raw.read()
        if opcode == PING:
            raw.frame(PONG, payload)
        elif opcode != PONG:
            return opcode, payload


async def _message(raw: Raw) -> bytes:
    opcode, payload = await _next(raw)
    assert opcode in (TEXT, BINARY), (opcode, payload)
    return payload


async def _farewell(raw: Raw) -> tuple[int, str]:
    """Read on to the close frame and answer it; return its code and its reason."""
    while True:
        opcode, payload = await _next(raw)
        if opcode == CLOSE:
            assert len(payload) <= 125, "an illegal frame"
            raw.frame(CLOSE, payload[:2])
            return int.from_bytes(payload[:2]), payload[2:].decode()


async def _how_dropped(raw: Raw) -> str:
    """Read on to the end; say how the connection was dropped."""
    while True:
        try:
            opcode, payload = await raw.read()
        except ConnectionResetError:
            return "reset"
        except asyncio.IncompleteReadError:
            return "end of file"
        if opcode == CLOSE:
            raw.frame(CLOSE, payload[:2])
            return f"close {int.from_bytes(payload[:2])}" if payload else "close"


# The agreement


async def busy(server: BackEnd) -> str:
    for path in ("/busy", "/plain/busy") if server.kind.is_asgi else ("/busy",):
        name = _name()
        async with client(server, f"{path}?{name}") as raw:
            for number in range(30):
                raw.frame(TEXT, b"%d" % number)
            raw.frame(PING, b"are you there")
            raw.frame(TEXT, b"heartbeat")
            answers = {await raw.read() for _ in range(2)}
            assert answers == {(PONG, b"are you there"), (TEXT, b"heartbeat")}
            await server.ask("release", name)
            assert [await _message(raw) for _ in range(30)] == [b"%d" % number for number in range(30)]
    return YES


async def silent(server: BackEnd) -> str:
    name = _name()
    async with client(server, f"/echo?{name}") as raw:
        raw.frame(TEXT, b"heartbeat")
        assert await raw.read() == (TEXT, b"heartbeat")
        try:
            first = await raw.read()
        except ConnectionResetError:
            first = None
        how = await _how_dropped(raw) if first is not None and first[0] == PING else "close, not pinged"
    code, reason = await server.answer("end", name)
    assert (code, reason) == (None, f"silent for {IDLE_TIMEOUT:g} s")
    return how


async def healthy(server: BackEnd) -> str:
    async with client(server, f"/echo?{_name()}") as quiet, client(server, f"/echo?{_name()}") as beating:

        async def answers_pings() -> None:
            await _next(quiet)

        async def sends_heartbeats() -> None:
            while True:
                beating.frame(TEXT, b"heartbeat")
                assert await beating.read() == (TEXT, b"heartbeat")
                await asyncio.sleep(IDLE_TIMEOUT * 0.4)

        clients = [asyncio.create_task(answers_pings()), asyncio.create_task(sends_heartbeats())]
        done, waiting = await asyncio.wait(clients, timeout=IDLE_TIMEOUT * 2)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not done, done
        for raw in (quiet, beating):
            raw.frame(TEXT, b"still here")
            assert await _message(raw) == b"still here"
    return YES


async def deaf(server: BackEnd) -> str:
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
    assert grown < 64 * 2**20, grown
    return YES


async def flooding(server: BackEnd) -> str:
    name = _name()
    before = (await server.ask("facts"))["memory"]
    sent = frame(BINARY, bytes(2**20))
    async with client(server, f"/busy?{name}") as raw:

        async def flood() -> None:
            for _ in range(100):
                raw.writer.write(sent)
                await raw.writer.drain()

        flooding = asyncio.create_task(flood())
        await server.answer("paused", name)
        await asyncio.sleep(IDLE_TIMEOUT)  # in which it may take more, and is not dropped
        assert await server.ask("here", name)
        assert not flooding.done()
        flooding.cancel()
        grown = (await server.ask("facts"))["memory"] - before
        assert grown < 64 * 2**20, grown
        await server.ask("release", name)
    return YES


async def half_open(server: BackEnd) -> str:
    name = _name()
    async with FaultProxy(server.host, server.port) as proxy, client(proxy, f"/echo?{name}") as raw:
        raw.frame(TEXT, b"heartbeat")
        assert await raw.read() == (TEXT, b"heartbeat")
        proxy.freeze()
        code, reason = await server.answer("end", name)
        assert (code, reason) == (None, f"silent for {IDLE_TIMEOUT:g} s")
    return YES


# Parting


async def refusal(server: BackEnd) -> str:
    async with client(server, "/refused") as raw:
        if raw.status == 101:
            code, reason = await _farewell(raw)
            return f"close {code}, {reason}"
        head = raw.head.decode().lower().split("\r\n")
        assert raw.status == 503
        assert "retry-after: 7" in head
        assert await raw.reader.readexactly(4) == b"full"
    return "503"


async def dismissal(server: BackEnd) -> str:
    name = _name()
    async with client(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        await server.ask("dismiss", name, "you were banned")
        assert await raw.read() == (TEXT, b"dismissed")
        code, reason = await _farewell(raw)
        assert reason in ("you were banned", "")
        await server.answer("end", name)
    return f"message, {code}{'' if reason else ' without reason'}"


async def sent_away(server: BackEnd) -> str:
    name = _name()
    async with AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(client(server, f"/echo?{name}")) for _ in range(3)]
        await server.answer("here", name, is_right=lambda count: count == 3)
        asking = asyncio.create_task(server.ask("send away", name, 9))
        farewells = sorted([await _farewell(raw) for raw in raws])
        await asking
    codes = {code for code, _ in farewells}
    assert len(codes) == 1
    hints = [reason for _, reason in farewells]
    if not any(hints):
        return f"{codes.pop()} without hint"
    assert hints == [f"restarting; retry-after={seconds}" for seconds in (1.5, 4.5, 7.5)]
    return f"{codes.pop()} and hint"


async def abort(server: BackEnd) -> str:
    name = _name()
    async with client(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        await server.ask("abort", name)
        how = await _how_dropped(raw)
        assert await server.answer("end", name) == [None, "aborted"]
    return how


async def codes(server: BackEnd) -> str:
    wrong = []
    for code in (1000, 1001, 1008, 1011, 1012, 1013, 3000, 4000, 4999):
        name = _name()
        async with client(server, f"/echo?{name}") as raw:
            await server.answer("here", name)
            await server.ask("close", name, code, "")
            seen, _ = await _farewell(raw)
            if seen != code:
                wrong.append(f"{code} as {seen}")
    return ", ".join(wrong) or "all"


async def reasons(server: BackEnd) -> str:
    name = _name()
    longest = "ü" * 61 + "."
    async with client(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        assert (await server.ask("close", name, 4400, longest + "!")).startswith("ValueError: reason must be")
        await server.ask("close", name, 4400, longest)
        _, reason = await _farewell(raw)
        assert reason in (longest, "")
    if server.kind.is_asgi:
        async with client(server, f"/plain/talkative?{_name()}") as raw:
            code, cut = await _farewell(raw)
            assert (code, cut) == (4400, "ü" * 61 if reason else "")
    return "all 123 bytes" if reason else "none"


async def told(server: BackEnd) -> str:
    name, rude = _name(), _name()
    async with client(server, f"/echo?{name}") as raw:
        raw.frame(TEXT, b"hello")
        assert await _message(raw) == b"hello"
        raw.frame(CLOSE, (4001).to_bytes(2) + b"bye")
        code, reason = await server.answer("end", name)
    async with client(server, f"/echo?{rude}") as raw:
        raw.frame(TEXT, b"hello")
        assert await _message(raw) == b"hello"
        raw.reset()
        assert (await server.answer("end", rude))[0] is None
    if server.kind.is_asgi:
        feed = _name()
        async with client(server, f"/plain/feed?{feed}") as raw:
            assert await _message(raw) == b"tick"
            raw.reset()
            assert await server.answer("ending", feed) == "told"
    return f"code{' and reason' if reason == 'bye' else ''}" if code == 4001 else "that it left"


# Messages


async def messages(server: BackEnd) -> str:
    for path in ("/echo", "/plain/echo") if server.kind.is_asgi else ("/echo",):
        async with client(server, f"{path}?{_name()}") as raw:
            for sent in (TEXT, "grüße".encode()), (BINARY, b"\0\xff"), (TEXT, b""), (BINARY, b""):
                raw.frame(*sent)
                assert await _next(raw) == sent
    return YES


async def large(server: BackEnd) -> str:
    payload = b"0123456789abcdef" * (2**21 // 16)
    async with client(server, f"/echo?{_name()}") as raw:
        for opcode in (BINARY, TEXT):
            raw.frame(opcode, payload)
            parts = []
            fin = False
            while not fin:
                fin, part = await _part(raw)
                parts.append(part)
            assert b"".join(parts) == payload
    return YES


async def _part(raw: Raw) -> tuple[bool, bytes]:
    """Read one frame of a message, of which a server may make several."""
    while True:
        first = (await raw.reader.readexactly(1))[0]
        size = (await raw.reader.readexactly(1))[0]
        if size >= 126:
            size = int.from_bytes(await raw.reader.readexactly(2 if size == 126 else 8))
        part = await raw.reader.readexactly(size)
        if first & 15 == PING:
            raw.frame(PONG, part)
        else:
            return bool(first & 128), part


# Endpoints


async def cancelled(server: BackEnd) -> str:
    name = _name()
    async with client(server, f"/echo?{name}") as raw:
        await server.answer("here", name)
        await server.ask("cancel", name)
        cell = await _after_endpoint(server, raw)
        assert await server.answer("ending", name) == "CancelledError"
    return cell


async def ends(server: BackEnd) -> str:
    cells = []
    for path, ending in ("/returns", "returned"), ("/raises", "ZeroDivisionError"):
        name = _name()
        async with client(server, f"{path}?{name}") as raw:
            raw.frame(TEXT, b"go on")
            cells.append(await _after_endpoint(server, raw))
            assert await server.answer("ending", name) == ending
    return " and ".join(dict.fromkeys(cells))


async def _after_endpoint(server: BackEnd, raw: Raw) -> str:
    """Return the code with which the client is closed; or, where a hook has ended, that it goes on."""
    if server.kind.has_endpoints:
        return str((await _farewell(raw))[0])
    raw.frame(TEXT, b"heartbeat")
    assert await _next(raw) == (TEXT, b"heartbeat")
    return "a hook: goes on"


# Many, and what is left of them


async def crowd(server: BackEnd) -> str:
    async def one() -> None:
        async with client(server, f"/echo?{_name()}") as raw:
            raw.frame(TEXT, b"hello")
            assert await _message(raw) == b"hello"
            here.append(raw)
            await all_here.wait()
            raw.frame(TEXT, b"goodbye")
            assert await _message(raw) == b"goodbye"

    here: list[Raw] = []
    all_here = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(one())
        while len(here) < 200:
            await asyncio.sleep(0.02)
        assert (await server.ask("facts"))["peers"] == 200
        all_here.set()
    return YES


TOGETHER: dict[str, Check] = {
    "heartbeats while busy": busy,
    "silent peer": silent,
    "healthy peer": healthy,
    "deaf peer": deaf,
    "flooding peer": flooding,
    "half-open peer": half_open,
    "refusal": refusal,
    "dismissal": dismissal,
    "sent away": sent_away,
    "abort": abort,
    "close codes": codes,
    "close reasons": reasons,
    "the client's end": told,
    "messages": messages,
    "2 MiB": large,
    "endpoint cancelled": cancelled,
    "endpoint returns, raises": ends,
}
"""Those that run side by side."""


async def left_behind(server: BackEnd) -> str:
    """Check that of all clients nothing is left: neither peers of the hub nor tasks nor sockets."""
    first = server.at_first

    def is_as_at_first(facts: dict[str, int]) -> bool:
        return facts["peers"] == 0 and all(facts[what] <= first[what] for what in ("tasks", "sockets"))

    await server.answer("facts", is_right=is_as_at_first)
    return "nothing"


async def sigterm(server: BackEnd) -> str:
    """Check that SIGTERM ends clients and the process, and that the server had nothing to complain of before."""
    complaints = server.output()
    async with client(server, f"/echo?{_name()}") as raw:
        raw.frame(TEXT, b"hello")
        assert await _message(raw) == b"hello"
        server.process.terminate()
        how = await _how_dropped(raw)
        code = await server.end()
    assert code in (0, -15, 143), code
    for word in "never retrieved", "was destroyed", "never awaited":
        assert word not in complaints, complaints[-4000:]
    raised = re.findall(r"^Traceback.*\n(?:[ ].*\n|\n)*(\S.*)", complaints, re.MULTILINE)
    expected = ("ZeroDivisionError", "asyncio.exceptions.CancelledError")
    assert not [line for line in raised if not line.startswith(expected)], complaints[-4000:]
    return how
