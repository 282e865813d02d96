"""Traps of liveness: is a dead link noticed, and no live one abandoned?"""

import asyncio
import contextlib
import signal
import time

from benchmarks.torture.clients import Client
from benchmarks.torture.server import Link
from benchmarks.torture.stage import BOUND, SLACK, STALL, behaving, stage
from benchmarks.torture.verdict import FAILED, HANDLED, PARTLY, PATIENCE, NotProvoked, Verdict, by_time


async def full_buffer(client: Client) -> Verdict:
    async with stage(client) as scene:
        await scene.opened()
        scene.process.order("flood")
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
            if not await scene.process.until(link.ping_seen.is_set, 5):
                raise NotProvoked("no heartbeat came")
            scene.process.order("block", seconds=3)
            if not await scene.process.until(lambda: scene.process.told("blocking"), 5):
                raise NotProvoked("its loop could not be blocked")
            since = time.monotonic()
            if link.pong_gate is not None:
                link.pong_gate.set()
            await scene.process.until(lambda: scene.process.told("blocked"), 8)
            return await scene.seconds_to_notice(since, 2.5) is not None

    killed = sum(await asyncio.gather(*(once() for _ in range(3))))
    return Verdict(FAILED if killed == 3 else PARTLY if killed else HANDLED, f"{killed} of 3 killed")


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
        if not await scene.process.until(lambda: scene.process.told("stalled"), 10):
            raise NotProvoked("its user did not stall")
        since = time.monotonic()
        seconds = await scene.seconds_to_notice(since, STALL + 2)
        scene.process.order("count")
        await scene.process.until(lambda: scene.process.told("count"), 3)
        counts = scene.process.told("count")
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


async def wall_clock(client: Client) -> Verdict:
    async def after(jumps: tuple[int, ...]) -> tuple[bool, float | None]:
        """Let the clock jump on a healthy link, then kill it: was it kept, how soon is its death noticed?"""
        async with stage(client) as scene:
            await scene.opened()
            since = time.monotonic()
            for jump in jumps:
                scene.process.order("clock", seconds=jump)
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
            scene.process.order("clock", seconds=3600)
            scene.proxy.freeze()
            return await scene.seconds_to_notice(since, PATIENCE + 1)

    async def was_kept() -> bool:
        """The process stands still for 5 s, the link is healthy all the time."""
        async with stage(client) as scene:
            await scene.opened()
            since = time.monotonic()
            scene.process.signal(signal.SIGSTOP)
            await asyncio.sleep(5)
            scene.process.signal(signal.SIGCONT)
            return await scene.seconds_to_notice(since, 3) is None

    seconds, kept = await asyncio.gather(to_notice(), was_kept())
    soon = seconds is not None and seconds <= 4 + SLACK
    shown = f"noticed after {seconds:.1f} s" if seconds is not None else "never noticed"
    figure = f"slept: {shown} (of 11); stopped: {'kept' if kept else 'killed'}"
    return Verdict((FAILED, PARTLY, HANDLED)[soon + kept], figure)


async def first_frame(client: Client) -> Verdict:
    async with stage(client, login=0.5) as scene:
        link = await scene.opened()
        if not await scene.process.until(lambda: link.got and link.pings, 6):
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
        if not await scene.process.until(
            lambda: len(scene.server.links) >= 2 and scene.server.links[1].ready.is_set(), PATIENCE
        ):
            raise NotProvoked("it made no second link")
        since = time.monotonic()
        ended = await scene.process.until(lambda: scene.server.links[1].ended_at is not None, 4)
        if ended:
            at = scene.server.links[1].ended_at or since
            return Verdict(FAILED, "healthy link killed", f"after {at - since:.1f} s")
        extra = len(scene.server.open_links()) - 1
        return Verdict(FAILED, f"{extra} more sockets") if extra else Verdict(HANDLED, "kept")
