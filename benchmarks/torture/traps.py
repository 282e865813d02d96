"""The traps: each sets itself up over real sockets for one client, and judges what the client does."""

import asyncio
import contextlib
import re
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import trustme

from benchmarks.torture.patient import Client, Patient
from benchmarks.torture.server import Handler, Link, Server, well_behaved
from websocket_heartbeat.testing import FaultProxy

HANDLED, PARTLY, FAILED, NOT_APPLICABLE, UNPROVOKED = "handled", "partly", "failed", "n/a", "not provoked"

BOUND = 2.0
"""Seconds: interval and timeout, of one second each."""

SLACK = 0.5
"""Seconds by which a busy machine may delay what a client does in time."""

STARTING = 20.0
PATIENCE = 12.0
"""Seconds after which something counts as never."""

STALL = 6.0
MIB = 2**20


@dataclass(frozen=True)
class Verdict:
    """One cell: the word, the figure, what there is to add, and a number of which less is better."""

    word: str
    figure: str = ""
    note: str = ""
    number: float | None = None


class NotProvoked(Exception):
    """The trap could not be set for this client; the text says why."""


class Stage:
    """A client, its server, and the proxy between them."""

    def __init__(self, patient: Patient, server: Server, proxy: FaultProxy) -> None:
        self.patient = patient
        self.server = server
        self.proxy = proxy

    async def opened(self) -> Link:
        """Wait until the first link is open and its user knows."""
        if not await self.patient.until(
            lambda: self.patient.told("open") and any(link.ready.is_set() for link in self.server.links),
            STARTING,
        ):
            last = self.patient.events[-1:] or self.patient.complaints[-300:]
            raise NotProvoked(f"it did not open: {last}")
        return self.server.links[-1]

    def noticed(self, since: float) -> float | None:
        """When the user was told of a loss, or a new link was tried: what came first."""
        times = [event["at"] for event in self.patient.told("lost", "failed", "ended", "exited", since=since)]
        times += [at for at in self.server.arrivals if at >= since]
        times += [entry.at for entry in self.proxy.log if entry.event == "accepted" and entry.at >= since]
        return min(times, default=None)

    async def seconds_to_notice(self, since: float, patience: float = PATIENCE) -> float | None:
        await self.patient.until(lambda: self.noticed(since) is not None, patience)
        at = self.noticed(since)
        return None if at is None else at - since


@asynccontextmanager
async def stage(client: Client, handler: Handler = well_behaved, **options: Any) -> AsyncIterator[Stage]:
    """Set up a server with that handler, a proxy before it, and the client."""
    interval = options.get("interval", 1.0)
    async with (
        Server(handler, client.dialect, interval) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        Patient(client, url(client, proxy.port), **options) as patient,
    ):
        yield Stage(patient, server, proxy)


def url(client: Client, port: int, scheme: str = "ws") -> str:
    """Return the address in the form that the client takes."""
    if client.dialect == "socketio":
        scheme = {"ws": "http", "wss": "https"}[scheme]
    return f"{scheme}://localhost:{port}" + ("" if client.dialect == "socketio" else "/")


def by_time(seconds: float | None, handled: float, partly: float) -> Verdict:
    if seconds is None:
        return Verdict(FAILED, f"not within {PATIENCE:.0f} s")
    word = HANDLED if seconds <= handled else PARTLY if seconds <= partly else FAILED
    return Verdict(word, f"{seconds:.1f} s", "", seconds)


# The traps, in the order of the table


async def hammering(client: Client) -> Verdict:
    async def reject(link: Link) -> None:
        await link.read_request()
        await link.accept()
        link.close(1008, "bad key")
        await link.behave()

    async with stage(client, reject) as scene:
        if not await scene.patient.until(lambda: scene.server.arrivals, STARTING):
            raise NotProvoked("it did not connect")
        await asyncio.sleep(2)
        first = scene.server.arrivals[0]
        attempts = len([at for at in scene.server.arrivals if at <= first + 2])
        gave_up = bool(scene.patient.told("ended")) and attempts == 1
        word = HANDLED if attempts <= 5 else PARTLY if attempts <= 20 else FAILED
        return Verdict(word, f"{attempts} in 2 s", "gave up" if gave_up else "", attempts)


async def full_buffer(client: Client) -> Verdict:
    async with stage(client) as scene:
        await scene.opened()
        scene.patient.order("flood")
        await asyncio.sleep(1)
        since = time.monotonic()
        scene.proxy.freeze()
        return by_time(await scene.seconds_to_notice(since), BOUND + SLACK, 2 * BOUND + SLACK)


async def blocked_loop(client: Client) -> Verdict:
    async def once() -> bool:
        async with stage(client) as scene:
            link = await scene.opened()
            if "pings" in client.can:
                link.pong_gate = asyncio.Event()
            if not await scene.patient.until(link.ping_seen.is_set, 5):
                raise NotProvoked("no heartbeat came")
            scene.patient.order("block", seconds=3)
            if not await scene.patient.until(lambda: scene.patient.told("blocking"), 5):
                raise NotProvoked("its loop could not be blocked")
            since = time.monotonic()
            if link.pong_gate is not None:
                link.pong_gate.set()
            await scene.patient.until(lambda: scene.patient.told("blocked"), 8)
            return await scene.seconds_to_notice(since, 2.5) is not None

    killed = sum(await asyncio.gather(*(once() for _ in range(3))))
    return Verdict(FAILED if killed == 3 else PARTLY if killed else HANDLED, f"{killed} of 3 killed")


@asynccontextmanager
async def behaving(link: Link) -> AsyncIterator[asyncio.Task[None]]:
    """Let a client in and answer it beside what the trap does, once it is ready; the value is that task."""
    await link.read_request()
    await link.accept()
    answering = asyncio.create_task(link.behave())
    try:
        await link.ready.wait()
        yield answering
    finally:
        answering.cancel()


async def slow_consumer(client: Client) -> Verdict:
    async def pour(link: Link) -> None:
        async with behaving(link) as answering:
            if link.number == 1:
                link.say(f"stall {STALL}")
                block = link.text("#" + "x" * 1000)
                for _ in range(8000):
                    link.write(block)
                    await link.writer.drain()
            await answering

    async with stage(client, pour) as scene:
        await scene.opened()
        if not await scene.patient.until(lambda: scene.patient.told("stalled"), 10):
            raise NotProvoked("its user did not stall")
        since = time.monotonic()
        seconds = await scene.seconds_to_notice(since, STALL + 2)
        scene.patient.order("count")
        await scene.patient.until(lambda: scene.patient.told("count"), 3)
        counts = scene.patient.told("count")
        if seconds is not None:
            return Verdict(FAILED, "killed", f"{seconds:.1f} s after the stall began")
        goes_on = bool(counts) and counts[0]["received"] > 100
        return Verdict(HANDLED, "kept") if goes_on else Verdict(PARTLY, "kept", "but nothing came any more")


async def data_without_pongs(client: Client) -> Verdict:
    async def talk(link: Link) -> None:
        async with behaving(link):
            link.mute = True
            while True:
                await asyncio.sleep(1.6)  # a ping is due after 1 s, its answer within another
                link.say("#data")

    async with stage(client, talk) as scene:
        await scene.opened()
        seconds = await scene.seconds_to_notice(time.monotonic(), 8)
        return Verdict(HANDLED, "kept") if seconds is None else Verdict(FAILED, f"killed at {seconds:.1f} s")


async def dead_link(client: Client) -> Verdict:
    async with stage(client) as scene:
        await scene.opened()
        await asyncio.sleep(0.3)
        since = time.monotonic()
        scene.proxy.freeze()
        return by_time(await scene.seconds_to_notice(since), BOUND + SLACK, 2 * BOUND + SLACK)


async def talking_peer(client: Client) -> Verdict:
    async def talk(link: Link) -> None:
        async with behaving(link):
            link.mute = True
            while True:
                link.say("#talk")
                await link.writer.drain()
                await asyncio.sleep(0.001)

    async with stage(client, talk) as scene:
        await scene.opened()
        await asyncio.sleep(0.2)
        since = time.monotonic()
        scene.patient.order("close")
        await scene.patient.until(lambda: scene.patient.told("closed", since=since), PATIENCE)
        closed = scene.patient.told("closed", since=since)
        return by_time(closed[0]["took"] if closed else None, 1 + SLACK, 5)


async def replaced_link(client: Client) -> Verdict:
    async def hang_at_first(link: Link) -> None:
        await link.read_request()
        await link.accept()
        if link.number == 1:
            hanging.append(link)
        await link.behave()

    hanging: list[Link] = []
    async with stage(client, hang_at_first) as scene:
        link = await scene.opened()
        since = time.monotonic()
        link.mute = True
        if not await scene.patient.until(lambda: len(scene.server.links) >= 2, PATIENCE):
            raise NotProvoked(f"it made no second link within {PATIENCE:.0f} s")
        if not await scene.patient.until(lambda: len(scene.patient.told("open")) >= 2, 5):
            raise NotProvoked("the second link did not open")
        second_open = scene.patient.told("open")[1]["at"]
        link.say("stale")
        link.close(4000, "late")
        await asyncio.sleep(2.5)
        late = [event for event in scene.patient.told("message", since=since) if event["text"] == "stale"]
        late += scene.patient.told("lost", "failed", since=second_open + 0.001)
        stays = len([other for other in scene.server.open_links() if other is not link])
        first_left = link.ended_at is not None
        figure = f"{len(late)} late events, {stays + (not first_left)} sockets"
        word = HANDLED if not late and stays == 1 and first_left else FAILED
        return Verdict(word, figure)


async def cancellation(client: Client) -> Verdict:
    async def slow(link: Link) -> None:
        await link.read_request()
        await asyncio.sleep(0.05)
        await link.accept()
        await link.behave()

    steps = 20
    async with stage(client, slow, cancel=steps) as scene:
        if not await scene.patient.until(lambda: scene.patient.told("cancelled"), 2 * STARTING):
            return Verdict(FAILED, "it went on for ever", "the task could not be cancelled")
        told = scene.patient.told("cancelled")[0]
        await asyncio.sleep(0.7)
        sockets = len(scene.server.open_links())
        bad = told["ignored"] or told["left"] or sockets
        word = FAILED if bad else HANDLED if told["slowest"] <= 1 + SLACK else PARTLY
        left = f", {len(told['left'])} tasks and {sockets} sockets left" if told["left"] or sockets else ""
        slowest = f"slowest {told['slowest']:.1f} s" if told["slowest"] > 0.1 else ""
        return Verdict(word, f"{told['ignored']} of {steps} ignored{left}", slowest)


async def failing_hook(client: Client) -> Verdict:
    async with stage(client, callbacks=True) as scene:
        link = await scene.opened()
        since = time.monotonic()
        link.say("raise")
        await asyncio.sleep(0.5)
        link.say("after")
        await asyncio.sleep(2.5)
        words = " ".join(str(event) for event in scene.patient.told("failed", "lost", "log", since=since))
        is_told = "LookupError" in words + scene.patient.complaints
        goes_on = any(event["text"] == "after" for event in scene.patient.told("message", since=since))
        crashed = any(event["level"] == "CRASH" for event in scene.patient.told("log", since=since))
        if is_told and goes_on and not crashed:
            return Verdict(HANDLED, "told")
        if crashed:
            return Verdict(PARTLY, "uncaught", "ends the process in Node; a browser would log it")
        return Verdict(PARTLY if is_told else FAILED, "told, link lost" if is_told else "silent")


async def herd(client: Client) -> Verdict:
    count = 40
    async with stage(client, count=count) as scene:
        if not await scene.patient.until(
            lambda: (
                len(scene.patient.told("open")) >= count
                and all(link.ready.is_set() for link in scene.server.links)
            ),
            STARTING,
        ):
            raise NotProvoked("they did not all open")
        since = time.monotonic()
        before = len(scene.server.arrivals)
        for link in scene.server.open_links():
            link.reset()
        await scene.patient.until(lambda: len(scene.server.arrivals) >= before + count, 8)
        back = scene.server.arrivals[before : before + count]
        if len(back) < count:
            raise NotProvoked(f"only {len(back)} came back")
        peak = max(len([other for other in back if at <= other < at + 0.1]) for at in back)
        word = HANDLED if peak <= count * 0.35 else PARTLY if peak <= count * 0.6 else FAILED
        return Verdict(word, f"{peak} of {count} in 0.1 s", f"the last after {back[-1] - since:.1f} s", peak)


async def what_is_final(client: Client) -> Verdict:
    async def busy_twice(link: Link) -> None:
        await link.read_request()
        if link.number <= 2:
            link.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            link.writer.close()
        else:
            await link.accept()
            await link.behave()

    async def certificate() -> int:
        """Count the attempts at a server whose certificate does not verify."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(tls)
        # Counted by the proxy: a handshake that fails never reaches the server's handler.
        async with (
            Server(well_behaved, client.dialect, 1, tls) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            Patient(client, url(client, proxy.port, "wss")) as patient,
        ):
            if not await patient.until(lambda: proxy.connections_accepted, STARTING):
                raise NotProvoked("it did not connect")
            await asyncio.sleep(6)
            return proxy.connections_accepted

    async def busy() -> bool:
        async with stage(client, busy_twice) as scene:
            if not await scene.patient.until(lambda: scene.server.arrivals, STARTING):
                raise NotProvoked("it did not connect")
            return await scene.patient.until(lambda: scene.patient.told("open"), PATIENCE)

    attempts, came_back = await asyncio.gather(certificate(), busy())
    rights = (attempts == 1) + came_back
    figure = f"bad certificate: {attempts} in 6 s; 429: {'retried' if came_back else 'given up'}"
    return Verdict((FAILED, PARTLY, HANDLED)[rights], figure)


async def polite_close(client: Client) -> Verdict:
    async with stage(client) as scene:
        for code in (1000, 1001):
            link = await scene.opened()
            number = len(scene.patient.told("open"))
            await asyncio.sleep(0.2)
            link.close(code, "see you")
            if not await scene.patient.until(
                lambda number=number: len(scene.patient.told("open")) > number,  # type: ignore[misc]
                8,
            ):
                return Verdict(FAILED, f"gone after {code}")
        return Verdict(HANDLED, "came back")


async def wall_clock(client: Client) -> Verdict:
    async def after(jumps: tuple[int, ...]) -> tuple[bool, float | None]:
        """Let the clock jump on a healthy link, then kill it: was it kept, how soon is its death noticed?"""
        async with stage(client) as scene:
            await scene.opened()
            since = time.monotonic()
            for jump in jumps:
                scene.patient.order("clock", seconds=jump)
                if await scene.seconds_to_notice(since, 3.5) is not None:
                    return False, None
            since = time.monotonic()
            scene.proxy.freeze()
            return True, await scene.seconds_to_notice(since)

    (_, usual), (kept, seconds) = await asyncio.gather(after((0, 0)), after((86400, -86400)))
    if not kept:
        return Verdict(FAILED, "a healthy link killed")
    if usual is None:
        raise NotProvoked("it notices no dead link at all, with a right clock neither")
    if seconds is None:
        return Verdict(FAILED, "a dead link not noticed")
    figure = f"{seconds:.1f} s, otherwise {usual:.1f} s"
    return Verdict(HANDLED if seconds <= usual + BOUND else FAILED, figure)


async def suspended(client: Client) -> Verdict:
    async def to_notice() -> float | None:
        """The link dies while the machine sleeps for an hour; the loop's clock stands still meanwhile."""
        async with stage(client, interval=10.0) as scene:
            await scene.opened()
            await asyncio.sleep(0.3)
            since = time.monotonic()
            scene.patient.order("clock", seconds=3600)
            scene.proxy.freeze()
            return await scene.seconds_to_notice(since, PATIENCE + 1)

    async def was_kept() -> bool:
        """The process stands still for 5 s, the link is healthy all the time."""
        async with stage(client) as scene:
            await scene.opened()
            since = time.monotonic()
            scene.patient.signal(signal.SIGSTOP)
            await asyncio.sleep(5)
            scene.patient.signal(signal.SIGCONT)
            return await scene.seconds_to_notice(since, 3) is None

    seconds, kept = await asyncio.gather(to_notice(), was_kept())
    soon = seconds is not None and seconds <= 4 + SLACK
    shown = f"noticed after {seconds:.1f} s" if seconds is not None else "never noticed"
    figure = f"slept: {shown} (of 11); stopped: {'kept' if kept else 'killed'}"
    return Verdict((FAILED, PARTLY, HANDLED)[soon + kept], figure)


async def hanging_opening(client: Client) -> Verdict:
    async def drip(link: Link) -> None:
        await link.read_request()
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: " + b"y" * 100:
            link.write(bytes([byte]))
            await link.writer.drain()
            await asyncio.sleep(0.2)

    async with stage(client, drip) as scene:
        if not await scene.patient.until(lambda: scene.server.arrivals, STARTING):
            raise NotProvoked("it did not connect")
        since = scene.server.arrivals[0] + 0.001
        await scene.patient.until(lambda: scene.noticed(since) is not None, PATIENCE)
        seconds = await scene.seconds_to_notice(since, 0)
        return by_time(seconds, 2 + SLACK, 6)


async def first_frame(client: Client) -> Verdict:
    async with stage(client, login=0.5) as scene:
        link = await scene.opened()
        if not await scene.patient.until(lambda: link.got and link.pings, 6):
            raise NotProvoked("no login or no heartbeat came")
        return Verdict(HANDLED, "login first") if link.first == "data" else Verdict(FAILED, "ping first")


async def leaking_state(client: Client) -> Verdict:
    async def owe_a_pong(link: Link) -> None:
        await link.read_request()
        await link.accept()
        if link.number == 1:
            reading = asyncio.create_task(link.behave())
            await link.ready.wait()
            link.mute = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(link.ping_seen.wait(), 1.4)
            await asyncio.sleep(0.3)
            reading.cancel()
            link.reset()
        else:
            await link.behave()

    async with stage(client, owe_a_pong) as scene:
        await scene.opened()
        if not await scene.patient.until(
            lambda: len(scene.server.links) >= 2 and scene.server.links[1].ready.is_set(), PATIENCE
        ):
            raise NotProvoked("it made no second link")
        since = time.monotonic()
        ended = await scene.patient.until(lambda: scene.server.links[1].ended_at is not None, 4)
        if ended:
            at = scene.server.links[1].ended_at or since
            return Verdict(FAILED, "healthy link killed", f"after {at - since:.1f} s")
        extra = len(scene.server.open_links()) - 1
        return Verdict(FAILED, f"{extra} more sockets") if extra else Verdict(HANDLED, "kept")


async def lasting_hooks(client: Client) -> Verdict:
    async def greet(link: Link) -> None:
        async with behaving(link) as answering:
            await asyncio.sleep(0.2)
            link.say(f"hello {link.number}")
            await asyncio.sleep(0.3)
            if link.number < 3:
                link.reset()
            await answering

    async with stage(client, greet) as scene:
        await scene.opened()
        await scene.patient.until(
            lambda: any(event["text"] == "hello 3" for event in scene.patient.told("message")), PATIENCE
        )
        hellos = {event["text"] for event in scene.patient.told("message")} & {
            "hello 1",
            "hello 2",
            "hello 3",
        }
        opened_at = [event["at"] for event in scene.patient.told("open")]
        told = [event["at"] for event in scene.patient.told("lost", "failed")]
        gaps = pairwise(opened_at)
        losses = sum(any(begin <= at <= end for at in told) for begin, end in gaps)
        opens = len(opened_at)
        figure = f"{opens} of 3 opens, {losses} of 2 losses, {len(hellos)} of 3 messages"
        complete = opens == 3 and losses == 2 and len(hellos) == 3
        return Verdict(HANDLED if complete else PARTLY if len(hellos) == 3 else FAILED, figure)


async def leaking_credentials(client: Client) -> Verdict:
    async with Server(well_behaved, client.dialect, 1) as other:

        async def redirect(link: Link) -> None:
            await link.read_request()
            head = f"HTTP/1.1 302 Found\r\nLocation: {url(client, other.port, 'ws')}\r\n"
            link.write(head.encode() + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            await link.reader.read()

        headers = {"Authorization": "Bearer secret", "Cookie": "session=secret", "X-Api-Key": "secret"}
        async with stage(client, redirect, headers=headers) as scene:
            if not await scene.patient.until(lambda: scene.server.arrivals, STARTING):
                raise NotProvoked("it did not connect")
            await scene.patient.until(lambda: other.links, 3)
            await asyncio.sleep(0.2)
            sent = scene.server.links[0].headers
            if "secret" not in str(sent):
                raise NotProvoked("it did not send the headers")
            if not other.links:
                return Verdict(HANDLED, "does not follow")
            leaked = sorted(name for name, value in other.links[0].headers.items() if "secret" in value)
            if not leaked:
                return Verdict(HANDLED, "follows without")
            word = PARTLY if leaked == ["x-api-key"] else FAILED
            return Verdict(word, f"leaks {', '.join(leaked)}")


async def hidden_cause(client: Client) -> Verdict:
    async def forbid(link: Link) -> None:
        await link.read_request()
        body = b"your plan has expired"
        head = b"HTTP/1.1 403 Forbidden\r\nX-Reason: plan-77\r\nContent-Length: %d\r\n\r\n" % len(body)
        link.write(head + body)
        await link.reader.read()

    async with stage(client, forbid) as scene:
        if not await scene.patient.until(lambda: scene.server.arrivals, STARTING):
            raise NotProvoked("it did not connect")
        await scene.patient.until(lambda: scene.patient.told("failed", "ended"), 3)
        await asyncio.sleep(0.5)
        words = " ".join(str(event) for event in scene.patient.told("failed", "lost", "log", "ended"))
        found = [
            name
            for name, pattern in (("status", r"\b403\b"), ("header", "plan-77"), ("body", "plan has expired"))
            if re.search(pattern, words)
        ]
        word = HANDLED if len(found) == 3 else PARTLY if found else FAILED
        return Verdict(word, ", ".join(found) or "nothing")


async def unbounded_queue(client: Client) -> Verdict:
    total = 200 * MIB
    taken = 0

    async def pour(link: Link) -> None:
        nonlocal taken
        async with behaving(link) as answering:
            await start.wait()
            if link.number == 1:
                link.say("stall 60")
                block = link.text("#" + "x" * 32_000)
                while taken < total:
                    link.write(block)
                    await link.writer.drain()
                    taken += len(block)
            await answering

    start = asyncio.Event()
    async with stage(client, pour) as scene:
        await scene.opened()
        scene.patient.order("count")
        await scene.patient.until(lambda: scene.patient.told("count"), 5)
        start.set()
        if not await scene.patient.until(lambda: scene.patient.told("stalled"), 10):
            raise NotProvoked("its user did not stall")
        await asyncio.sleep(STALL)
        scene.patient.order("count")
        await scene.patient.until(lambda: len(scene.patient.told("count")) == 2, 20)
        counts = scene.patient.told("count")
        if len(counts) < 2:
            raise NotProvoked("it did not answer any more")
        grown = (counts[1]["resident"] - counts[0]["resident"]) / MIB
        return Verdict(
            HANDLED if grown <= 32 else FAILED, f"{grown:.0f} MiB held", f"{taken / MIB:.0f} MiB taken", grown
        )


@dataclass(frozen=True)
class Trap:
    """One row. needs: what a client must have for it to mean anything. heavy: not beside another such."""

    number: int
    title: str
    play: Callable[[Client], Awaitable[Verdict]]
    needs: tuple[str, ...] = ()
    heavy: bool = False


LACKS = {
    "reconnect": "does not reconnect",
    "heartbeat": "has no heartbeat",
    "pings": "the server sends the pings",
    "tasks": "has no tasks to cancel",
    "hooks": "has no hooks: messages come to the user's own loop",
    "queue": "has no queue: messages come as calls",
    "headers": "takes no headers",
}

TRAPS = (
    Trap(1, "a server accepts, then closes at once", hammering, ("reconnect",)),
    Trap(2, "half-open link, send buffer full", full_buffer, ("heartbeat",), heavy=True),
    Trap(3, "own loop blocked 3 s, the pong waits in the kernel", blocked_loop, ("heartbeat",)),
    Trap(4, "slow consumer for 6 s on a live link", slow_consumer, ("heartbeat", "queue"), heavy=True),
    Trap(5, "data flows, pongs never come", data_without_pongs, ("heartbeat",)),
    Trap(6, "dead link: until the user knows", dead_link, ("heartbeat",)),
    Trap(7, "close() against a peer that keeps talking", talking_peer),
    Trap(8, "late events of a replaced link", replaced_link, ("reconnect", "heartbeat")),
    Trap(9, "cancelled at any moment", cancellation, ("tasks",), heavy=True),
    Trap(10, "a hook that fails", failing_hook, ("hooks",)),
    Trap(11, "40 clients dropped at once come back", herd, ("reconnect",), heavy=True),
    Trap(12, "bad certificate is final, 429 is not", what_is_final, ("reconnect",)),
    Trap(13, "server closes with 1000 or 1001", polite_close, ("reconnect",)),
    Trap(14, "wall clock set by a day", wall_clock, ("heartbeat",)),
    Trap(15, "the machine sleeps, the process is stopped", suspended, ("heartbeat",)),
    Trap(16, "handshake that drips for ever", hanging_opening),
    Trap(17, "no ping before the login", first_frame, ("heartbeat", "pings")),
    Trap(18, "a pong owed to the last link", leaking_state, ("reconnect", "heartbeat")),
    Trap(19, "open, loss and messages told after reconnects", lasting_hooks, ("reconnect",)),
    Trap(20, "redirect to another origin, with credentials", leaking_credentials, ("headers",)),
    Trap(21, "why the handshake was refused", hidden_cause),
    Trap(22, "receive queue of a user who is away", unbounded_queue, ("queue",), heavy=True),
)


async def judge(trap: Trap, client: Client) -> Verdict:
    """Set the trap for the client."""
    for need in trap.needs:
        if need not in client.can:
            return Verdict(NOT_APPLICABLE, "", LACKS[need])
    try:
        return await trap.play(client)
    except NotProvoked as why:
        return Verdict(UNPROVOKED, "", str(why))
