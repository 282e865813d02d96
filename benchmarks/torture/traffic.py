"""Traps of traffic: heartbeats beside data, a slow line, a slow reader."""

import asyncio
import socket
import time

from benchmarks.torture.clients import Client
from benchmarks.torture.server import Link
from benchmarks.torture.stage import BOUND, SLACK, STALL, behaving, stage
from benchmarks.torture.verdict import FAILED, HANDLED, PATIENCE, NotProvoked, Verdict


async def demanding_server(client: Client) -> Verdict:
    async def push_and_demand(link: Link) -> None:
        async with behaving(link) as answering:
            heard_at = time.monotonic()
            while time.monotonic() - heard_at < BOUND + SLACK:
                link.say("#tick")
                await asyncio.sleep(0.1)
                heard_at = max([heard_at, *link.pings[-1:]])
            link.close(4000, "no heartbeat from the client")
            await answering

    async with stage(client, push_and_demand) as scene:
        await scene.opened()
        seconds = await scene.seconds_to_notice(time.monotonic(), 8)
        return (
            Verdict(HANDLED, "kept") if seconds is None else Verdict(FAILED, f"hung up on at {seconds:.1f} s")
        )


async def slow_upload(client: Client) -> Verdict:
    size, rate = 1_000_000, 100_000
    async with stage(client) as scene:
        link = await scene.opened()
        for sock in scene.proxy.sockets:
            # Or the kernels would take it all at once.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        scene.proxy.throttle(rate, "to_server")
        since = time.monotonic()
        scene.process.order("upload", size=size)
        await scene.process.until(lambda: link.got or scene.noticed(since), size / rate + PATIENCE)
        await asyncio.sleep(BOUND + SLACK)  # some give up only behind what they had to say
        lost_at = scene.noticed(since)
        if lost_at is not None:
            return Verdict(FAILED, f"killed at {lost_at - since:.1f} s")
        return Verdict(HANDLED, "kept") if link.got else Verdict(FAILED, "it did not arrive")


async def pinging_server(client: Client) -> Verdict:
    async def pour_and_ping(link: Link) -> None:
        async with behaving(link) as answering:
            if link.number == 1:
                link.say(f"stall {STALL}")
            block = link.text("#" + "x" * 1000)
            pinging = asyncio.create_task(link.keep_alive(1.0, 1.0 + SLACK))
            while not pinging.done():
                for _ in range(100):
                    link.write(block)
                # Not `drain`: a server goes on pinging a client that does not read.
                await asyncio.sleep(0.05)
            await answering

    async with stage(client, pour_and_ping, newest=True) as scene:
        link = await scene.opened()
        if not await scene.process.until(lambda: scene.process.told("stalled"), 10):
            raise NotProvoked("its user did not stall")
        since = time.monotonic()
        if await scene.process.until(lambda: link.dropped_at is not None, STALL + 2):
            seconds = (link.dropped_at or since) - since
            return Verdict(FAILED, "dropped by the server", f"{seconds:.1f} s after the stall began")
        if scene.noticed(since) is not None:
            return Verdict(FAILED, "left by itself")
        return Verdict(HANDLED, "kept")
