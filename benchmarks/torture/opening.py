"""Traps of opening: refusals, retries, redirects, and handshakes that never end."""

import asyncio
import re
import ssl
import time

import trustme

from benchmarks.torture.clients import Client, ClientProcess
from benchmarks.torture.server import Link, Server, well_behaved
from benchmarks.torture.stage import SLACK, STARTING, stage, url
from benchmarks.torture.verdict import FAILED, HANDLED, PARTLY, PATIENCE, NotProvoked, Verdict, by_time
from websocket_heartbeat.testing import FaultProxy


async def hammering(client: Client) -> Verdict:
    async def reject(link: Link) -> None:
        await link.read_request()
        await link.accept()
        link.close(1008, "bad key")
        await link.behave()

    async with stage(client, reject) as scene:
        if not await scene.process.until(lambda: scene.server.arrivals, STARTING):
            raise NotProvoked("it did not connect")
        await asyncio.sleep(2)
        first = scene.server.arrivals[0]
        attempts = len([at for at in scene.server.arrivals if at <= first + 2])
        gave_up = bool(scene.process.told("ended")) and attempts == 1
        word = HANDLED if attempts <= 5 else PARTLY if attempts <= 20 else FAILED
        return Verdict(word, f"{attempts} in 2 s", "gave up" if gave_up else "", attempts)


async def herd(client: Client) -> Verdict:
    count = 40
    async with stage(client, count=count) as scene:
        if not await scene.process.until(
            lambda: (
                len(scene.process.told("open")) >= count
                and all(link.ready.is_set() for link in scene.server.links)
            ),
            STARTING,
        ):
            raise NotProvoked("they did not all open")
        since = time.monotonic()
        before = len(scene.server.arrivals)
        for link in scene.server.open_links():
            link.reset()
        await scene.process.until(lambda: len(scene.server.arrivals) >= before + count, 8)
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
            await link.refuse("429 Too Many Requests")
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
            ClientProcess(client, url(client, proxy.port, "wss")) as process,
        ):
            if not await process.until(lambda: proxy.connections_accepted, STARTING):
                raise NotProvoked("it did not connect")
            await asyncio.sleep(6)
            return proxy.connections_accepted

    async def busy() -> bool:
        async with stage(client, busy_twice) as scene:
            if not await scene.process.until(lambda: scene.server.arrivals, STARTING):
                raise NotProvoked("it did not connect")
            return await scene.process.until(lambda: scene.process.told("open"), PATIENCE)

    attempts, came_back = await asyncio.gather(certificate(), busy())
    rights = (attempts == 1) + came_back
    figure = f"bad certificate: {attempts} in 6 s; 429: {'retried' if came_back else 'given up'}"
    return Verdict((FAILED, PARTLY, HANDLED)[rights], figure)


async def polite_close(client: Client) -> Verdict:
    async with stage(client) as scene:
        for code in (1000, 1001):
            link = await scene.opened()
            number = len(scene.process.told("open"))
            await asyncio.sleep(0.2)
            link.close(code, "see you")
            if not await scene.process.until(
                lambda number=number: len(scene.process.told("open")) > number,  # type: ignore[misc]
                8,
            ):
                return Verdict(FAILED, f"gone after {code}")
        return Verdict(HANDLED, "came back")


async def hanging_opening(client: Client) -> Verdict:
    async def drip(link: Link) -> None:
        await link.read_request()
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: " + b"y" * 100:
            link.write(bytes([byte]))
            await link.writer.drain()
            await asyncio.sleep(0.2)

    async with stage(client, drip) as scene:
        if not await scene.process.until(lambda: scene.server.arrivals, STARTING):
            raise NotProvoked("it did not connect")
        since = scene.server.arrivals[0] + 0.001
        await scene.process.until(lambda: scene.noticed(since) is not None, PATIENCE)
        seconds = await scene.seconds_to_notice(since, 0)
        return by_time(seconds, 2 + SLACK, 6)


async def leaking_credentials(client: Client) -> Verdict:
    async with Server(well_behaved, client.dialect, 1) as other:

        async def redirect(link: Link) -> None:
            await link.read_request()
            head = f"HTTP/1.1 302 Found\r\nLocation: {url(client, other.port, 'ws')}\r\n"
            link.write(head.encode() + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            await link.reader.read()

        headers = {"Authorization": "Bearer secret", "Cookie": "session=secret", "X-Api-Key": "secret"}
        async with stage(client, redirect, headers=headers) as scene:
            if not await scene.process.until(lambda: scene.server.arrivals, STARTING):
                raise NotProvoked("it did not connect")
            await scene.process.until(lambda: other.links, 3)
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
        if not await scene.process.until(lambda: scene.server.arrivals, STARTING):
            raise NotProvoked("it did not connect")
        await scene.process.until(lambda: scene.process.told("failed", "ended"), 3)
        await asyncio.sleep(0.5)
        words = " ".join(str(event) for event in scene.process.told("failed", "lost", "log", "ended"))
        found = [
            name
            for name, pattern in (("status", r"\b403\b"), ("header", "plan-77"), ("body", "plan has expired"))
            if re.search(pattern, words)
        ]
        word = HANDLED if len(found) == 3 else PARTLY if found else FAILED
        return Verdict(word, ", ".join(found) or "nothing")


async def refused_later(client: Client) -> Verdict:
    refused_until = 0.0

    async def forbid_for_a_while(link: Link) -> None:
        nonlocal refused_until
        await link.read_request()
        if link.number > 1 and time.monotonic() < refused_until:
            await link.refuse("403 Forbidden")
            return
        await link.accept()
        if link.number == 1:
            answering = asyncio.create_task(link.behave())
            await link.ready.wait()
            await asyncio.sleep(0.5)
            answering.cancel()
            refused_until = time.monotonic() + 1.5
            link.reset()
        else:
            await link.behave()

    async with stage(client, forbid_for_a_while) as scene:
        await scene.opened()
        came_back = await scene.process.until(lambda: len(scene.process.told("open")) > 1, PATIENCE)
        if not scene.process.told("failed", "log", "lost"):
            raise NotProvoked("the link was not lost")
        return Verdict(HANDLED, "came back") if came_back else Verdict(FAILED, "gave up")


async def keep_alive_header(client: Client) -> Verdict:
    async def answer(link: Link) -> None:
        await link.read_request()
        await link.accept("Upgrade, Keep-Alive")
        await link.behave()

    async with stage(client, answer) as scene:
        if not await scene.process.until(lambda: scene.server.arrivals, STARTING):
            raise NotProvoked("it did not connect")
        opened = await scene.process.until(lambda: scene.process.told("open"), 3)
        return Verdict(HANDLED, "opens") if opened else Verdict(FAILED, "refused")
