"""Traps of use: closing, cancelling, hooks, queues, and links that were replaced."""

import asyncio
import time
from itertools import pairwise

from benchmarks.torture.clients import Client
from benchmarks.torture.server import Link
from benchmarks.torture.stage import MIB, SLACK, STALL, STARTING, behaving, stage
from benchmarks.torture.verdict import FAILED, HANDLED, PARTLY, PATIENCE, NotProvoked, Verdict, by_time


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
        scene.process.order("close")
        await scene.process.until(lambda: scene.process.told("closed", since=since), PATIENCE)
        closed = scene.process.told("closed", since=since)
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
        if not await scene.process.until(lambda: len(scene.server.links) >= 2, PATIENCE):
            raise NotProvoked(f"it made no second link within {PATIENCE:.0f} s")
        if not await scene.process.until(lambda: len(scene.process.told("open")) >= 2, 5):
            raise NotProvoked("the second link did not open")
        second_open = scene.process.told("open")[1]["at"]
        link.say("stale")
        link.close(4000, "late")
        await asyncio.sleep(2.5)
        late = [event for event in scene.process.told("message", since=since) if event["text"] == "stale"]
        late += scene.process.told("lost", "failed", since=second_open + 0.001)
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
        if not await scene.process.until(lambda: scene.process.told("cancelled"), 2 * STARTING):
            return Verdict(FAILED, "it went on for ever", "the task could not be cancelled")
        told = scene.process.told("cancelled")[0]
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
        words = " ".join(str(event) for event in scene.process.told("failed", "lost", "log", since=since))
        is_told = "LookupError" in words + scene.process.stderr
        goes_on = any(event["text"] == "after" for event in scene.process.told("message", since=since))
        crashed = any(event["level"] == "CRASH" for event in scene.process.told("log", since=since))
        if is_told and goes_on and not crashed:
            return Verdict(HANDLED, "told")
        if crashed:
            return Verdict(PARTLY, "uncaught", "ends the process in Node; a browser would log it")
        return Verdict(PARTLY if is_told else FAILED, "told, link lost" if is_told else "silent")


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
        await scene.process.until(
            lambda: any(event["text"] == "hello 3" for event in scene.process.told("message")), PATIENCE
        )
        hellos = {event["text"] for event in scene.process.told("message")} & {
            "hello 1",
            "hello 2",
            "hello 3",
        }
        opened_at = [event["at"] for event in scene.process.told("open")]
        told = [event["at"] for event in scene.process.told("lost", "failed")]
        gaps = pairwise(opened_at)
        losses = sum(any(begin <= at <= end for at in told) for begin, end in gaps)
        opens = len(opened_at)
        figure = f"{opens} of 3 opens, {losses} of 2 losses, {len(hellos)} of 3 messages"
        complete = opens == 3 and losses == 2 and len(hellos) == 3
        return Verdict(HANDLED if complete else PARTLY if len(hellos) == 3 else FAILED, figure)


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
        scene.process.order("count")
        await scene.process.until(lambda: scene.process.told("count"), 5)
        start.set()
        if not await scene.process.until(lambda: scene.process.told("stalled"), 10):
            raise NotProvoked("its user did not stall")
        await asyncio.sleep(STALL)
        scene.process.order("count")
        await scene.process.until(lambda: len(scene.process.told("count")) == 2, 20)
        counts = scene.process.told("count")
        if len(counts) < 2:
            raise NotProvoked("it did not answer any more")
        grown = (counts[1]["resident"] - counts[0]["resident"]) / MIB
        return Verdict(
            HANDLED if grown <= 32 else FAILED, f"{grown:.0f} MiB held", f"{taken / MIB:.0f} MiB taken", grown
        )


async def login_dialogue(client: Client) -> Verdict:
    denied_from = 0.0

    async def ask(link: Link) -> None:
        nonlocal denied_from
        async with behaving(link) as answering:
            await link.data_seen.wait()
            now = time.monotonic()
            if link.number == 1:
                link.say("welcome")
                await asyncio.sleep(0.5)
                denied_from = time.monotonic()
                link.reset()
            elif now < denied_from + 2:
                link.say("denied")
            else:
                link.say("welcome")
                link.say("hello")
            await answering

    async with stage(client, ask, dialogue=True) as scene:
        await scene.opened()
        heard = await scene.process.until(
            lambda: any(event["text"] == "hello" for event in scene.process.told("message")), PATIENCE
        )
        attempts = len([at for at in scene.server.arrivals if denied_from <= at <= denied_from + 2])
        if not denied_from:
            return Verdict(FAILED, "the first login hung")
        if not heard:
            return Verdict(FAILED, "never logged in again")
        word = HANDLED if attempts <= 5 else PARTLY if attempts <= 20 else FAILED
        return Verdict(word, f"{attempts} logins in 2 s", "", attempts)


async def send_and_leave(client: Client) -> Verdict:
    async def open_slowly(link: Link) -> None:
        await link.read_request()
        await asyncio.sleep(0.3)
        await link.accept()
        await link.behave()

    count = 100
    async with stage(client, open_slowly, errands=count) as scene:
        if not await scene.process.until(lambda: scene.process.told("ready"), STARTING):
            raise NotProvoked("it did not start")

        def arrived() -> int:
            return sum("errand" in text for link in scene.server.links for text in link.got)

        await scene.process.until(lambda: arrived() == count, 5)
        figure = f"{arrived()} of {count} arrived"
        if arrived() == count:
            return Verdict(HANDLED, figure)
        is_told = scene.process.told("failed", "log", "exited") or scene.process.stderr
        return Verdict(PARTLY if is_told else FAILED, figure, "told" if is_told else "not a word of it")
