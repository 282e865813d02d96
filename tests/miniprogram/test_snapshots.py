"""Programs that are killed in the background: the next process goes on, and nothing is lost or doubled."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.conftest import Npm
from tests.miniprogram.led import Program
from tests.miniprogram.session_programs import Ledger, Start, starter, told
from tests.watch import until

from websocket_heartbeat.server import serve
from websocket_heartbeat.testing import FaultProxy

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("kind", ["page", "wx"])]


@pytest.fixture(scope="module")
def start(node: str, npm: Npm, real_hosts: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    return starter(node, npm, real_hosts, tmp_path_factory.mktemp("snapshots"))


@dataclass
class Scene:
    """A hub behind a proxy, and a place for snapshots."""

    start: Start
    kind: str
    file: Path
    ledger: Ledger
    proxy: FaultProxy

    def program(self, faulty: str = "", **more: Any) -> contextlib.AbstractAsyncContextManager[Program]:
        place = {"file": str(self.file), "faulty": faulty}
        return self.start(self.kind, self.proxy.url(), place=place, **more)


@pytest.fixture
def scene(start: Start, kind: str, tmp_path: Path) -> Any:
    @contextlib.asynccontextmanager
    async def scene() -> AsyncIterator[Scene]:
        ledger = Ledger()
        file = tmp_path / "snapshot"
        file.write_text("")
        async with serve(hub=ledger.hub) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            yield Scene(start, kind, file, ledger, proxy)

    return scene


async def hide(program: Program) -> None:
    program.order(hide=True)
    await program.until("hidden")


async def kill(program: Program) -> None:
    program.process.kill()
    await program.process.wait()


async def pong(program: Program) -> None:
    """Wait until the program has heard the answer to a probe, and so all that was sent to it before."""
    await program.until("state", "probing")
    await program.until("state", "open")


async def leave(program: Program) -> None:
    program.order(flush=True)
    await program.until("flushed")
    program.order(close="bye")
    await program.ended()


def test_a_process_goes_on_with_the_session_of_one_that_was_killed(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at:
            async with at.program() as first:
                await first.until("open", "new")
                first.order(send="handled é")
                first.order(flush=True)
                await first.until("flushed")
                at.proxy.freeze()
                first.order(send="under way")
                first.order(bytes=[0, 255])
                await first.until("sent")
                await first.until("sent")
                at.ledger.hub.peers[0].send("from the server")
                await hide(first)
                await kill(first)
            at.proxy.disconnect()
            at.proxy.heal()
            async with at.program() as second:
                await second.until("open", "resumed")
                assert at.file.read_text() == ""
                second.order(send="more")
                await second.until("message", "more")
                assert told(second, "session") == [["resumed", "", []]]
                await leave(second)
            assert at.ledger.up == ["handled é", "under way", b"\x00\xff", "more"]
            assert told(first, "message") == [["handled é"]]
            down = ["from the server", "under way", [0, 255], "more"]
            assert told(second, "message") == [[each] for each in down]
            await until(lambda: at.ledger.ends == [("bye", ())])

    asyncio.run(main())


def test_what_waited_without_a_link_is_sent_by_the_next_process_or_the_one_after(
    scene: Any,
) -> None:
    async def main() -> None:
        async with scene() as at:
            async with at.program() as first:
                await first.until("open", "new")
                at.proxy.refuse()
                at.proxy.disconnect()
                await first.until("state", "waiting")
                first.order(send="one")
                await first.until("sent", True)
                await hide(first)
                await kill(first)
            async with at.program() as second:
                await second.until("state", "waiting")
                second.order(send="two")
                await second.until("sent", True)
                await hide(second)
                await kill(second)
            async with at.program() as third:
                await third.until("state", "waiting")
                at.proxy.accept()
                third.order(send="three")
                third.order(flush=True)
                await third.until("flushed")
                await leave(third)
            assert at.ledger.up == ["one", "two", "three"]
            assert told(third, "message") == [["one"], ["two"], ["three"]]

    asyncio.run(main())


def test_a_hidden_program_handles_and_sends_nothing_until_it_has_deleted_its_snapshot(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at, at.program() as program:
            await program.until("open", "new")
            at.proxy.freeze()
            program.order(send="before")
            program.order(flush=True)
            await program.until("sent")
            await hide(program)
            at.proxy.heal()
            at.ledger.hub.peers[0].send("down")
            await pong(program)
            assert at.ledger.up == ["before"]
            program.order(send="up")
            assert await program.until("sent") == ["sent", True]
            program.order(send="volatile", volatile=True)
            assert await program.until("sent") == ["sent", False]
            await pong(program)
            assert at.ledger.up == ["before"]
            assert told(program, "message") == told(program, "flushed") == []
            program.order(show=True)
            assert await program.until("save") == ["save", 0]
            await program.until("message", "up")
            await leave(program)
            assert sorted(each for (each,) in told(program, "message")) == ["before", "down", "up"]
            assert at.ledger.up == ["before", "up"]
            assert [words[0] for words in told(program, "open")] == ["new"]
            assert at.file.read_text() == ""

    asyncio.run(main())


def test_a_hidden_program_whose_link_dies_opens_no_other_until_it_is_shown(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at, at.program() as program:
            await program.until("open", "new")
            program.order(send="x")
            await program.until("message", "x")
            await hide(program)
            at.proxy.disconnect()
            await program.until("state", "waiting")
            seen = len(program.told)
            await asyncio.sleep(0.5)  # ten times as long as a retry waits
            program.order(show=True)
            await program.until("open", "resumed")
            after = program.told[seen:]
            assert after.index(["save", 0]) < after.index(["state", "connecting"])
            await leave(program)
            assert at.ledger.up == ["x"]

    asyncio.run(main())


def test_a_message_whose_hook_ends_after_the_snapshot_does_not_come_again(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at:
            async with at.program(holding=True) as first:
                await first.until("open", "new")
                at.ledger.hub.peers[0].send("one")
                at.ledger.hub.peers[0].send("two")
                await first.until("message", "one")
                await hide(first)
                first.order(handle=True)
                await first.until("save")
                await hide(first)  # again: all is read that the first has said
                await kill(first)
            async with at.program() as second:
                assert await second.until("message") == ["message", "two"]
                await leave(second)
            assert told(first, "message") == [["one"]]
            await until(lambda: at.ledger.ends == [("bye", ())])

    asyncio.run(main())


def test_a_stale_snapshot_leads_to_a_reset_that_tells_of_its_messages(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at:
            async with at.program() as first:
                await first.until("open", "new")
                at.proxy.freeze()
                first.order(send="uncertain")
                await first.until("sent")
                await hide(first)
                stale = at.file.read_text()
                at.proxy.disconnect()
                at.proxy.heal()
                first.order(show=True)
                await first.until("message", "uncertain")
                first.order(flush=True)
                await first.until("flushed")
                await kill(first)
            at.file.write_text(stale)
            async with at.program() as second:
                assert await second.until("session") == ["session", "reset", "replaced", ["uncertain"]]
                await second.until("session", "new")
                second.order(send="again")
                await second.until("message", "again")
                await leave(second)
            assert at.ledger.up == ["uncertain", "again"]

    asyncio.run(main())


def test_of_two_processes_with_one_snapshot_one_goes_on_and_the_other_begins_anew(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at:
            async with at.program() as first:
                await first.until("open", "new")
                await hide(first)
                twice = at.file.read_text()
                await kill(first)
            async with at.program() as second:
                await second.until("open", "resumed")
                at.file.write_text(twice)
                async with at.program() as third:
                    await third.until("session", "reset", "replaced")
                    await third.until("open", "new")
                    for program in (second, third):
                        program.order(send="x")
                        await program.until("message", "x")
                    await leave(third)
                await leave(second)
            assert [words[0] for words in told(second, "session")] == ["resumed"]
            assert at.ledger.up == ["x", "x"]

    asyncio.run(main())


def test_a_snapshot_for_a_server_that_does_not_know_it_is_told_whole_and_not_sent_there(scene: Any) -> None:
    async def main() -> None:
        other = Ledger()
        async with scene() as at, serve(hub=other.hub) as server:
            async with at.program() as first:
                await first.until("open", "new")
                at.proxy.freeze()
                first.order(send="under way")
                await first.until("sent")
                at.proxy.refuse()
                at.proxy.disconnect()
                await first.until("state", "waiting")
                first.order(send="waited")
                await first.until("sent")
                await hide(first)
                await kill(first)
            at.proxy.retarget("127.0.0.1", server.port)
            at.proxy.heal()
            at.proxy.accept()
            async with at.program() as second:
                second.order(send="new")
                uncertain = ["under way", "waited"]
                assert await second.until("session") == ["session", "reset", "unknown", uncertain]
                await second.until("message", "new")
                await leave(second)
            assert other.up == ["new"]

    asyncio.run(main())


def test_a_server_that_has_no_sessions_any_more_is_spoken_to_without_and_the_messages_are_told(
    scene: Any,
) -> None:
    async def main() -> None:
        async with scene() as at, serve() as plain:
            async with at.program() as first:
                await first.until("open", "new")
                at.proxy.freeze()
                first.order(send="under way")
                await first.until("sent")
                await hide(first)
                await kill(first)
            at.proxy.retarget("127.0.0.1", plain.port)
            at.proxy.disconnect()
            at.proxy.heal()
            async with at.program() as second:
                assert await second.until("session") == ["session", "reset", "broken", ["under way"]]
                await second.until("open", None)
                second.order(send="plain")
                await second.until("message", "plain")
                await leave(second)

    asyncio.run(main())


def test_without_room_for_the_snapshot_a_hidden_program_goes_on_as_without(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at, at.program() as program:
            await program.until("open", "new")
            at.proxy.freeze()
            program.order(send="x" * 200_000)
            program.order(bytes=[1] * 60_000)
            await program.until("sent")
            await program.until("sent")
            await hide(program)
            assert told(program, "save") == []
            at.proxy.heal()
            await program.until("message", [1] * 60_000)
            assert at.file.read_text() == ""
            await leave(program)

    asyncio.run(main())


@pytest.mark.parametrize("faulty", ["save", "load"])
def test_a_place_that_throws_is_reported_and_the_program_goes_on_as_without(scene: Any, faulty: str) -> None:
    async def main() -> None:
        async with scene() as at, at.program(faulty) as program:
            if faulty == "save":
                await program.until("open", "new")
                await hide(program)
            await program.until("uncaught", {"save": "no room", "load": "no disk"}[faulty])
            program.order(send="x")
            await program.until("message", "x")
            assert [words[0] for words in told(program, "session")] == ["new"]
            await leave(program)

    asyncio.run(main())


GOOD: dict[str, Any] = {
    "snapshot": 1,
    "key": "a.b",
    "link": 1,
    "at": [0, 0],
    "window": [1, 1],
    "outbox": [],
    "queue": [],
}


@pytest.mark.parametrize(
    "text", ["{", json.dumps({**GOOD, "snapshot": 2}), json.dumps({**GOOD, "queue": [5]})]
)
def test_what_is_no_snapshot_of_this_version_is_deleted_and_a_session_begins(scene: Any, text: str) -> None:
    async def main() -> None:
        async with scene() as at:
            at.file.write_text(text)
            async with at.program() as program:
                await program.until("open", "new")
                assert at.file.read_text() == ""
                await leave(program)
                assert told(program, "session") == [["new", "", []]]

    asyncio.run(main())


def test_who_closes_in_the_background_leaves_no_snapshot(scene: Any) -> None:
    async def main() -> None:
        async with scene() as at, at.program() as program:
            await program.until("open", "new")
            at.ledger.hub.peers[0].send("x")
            await program.until("message", "x")
            await hide(program)
            assert at.file.read_text() != ""
            at.ledger.hub.peers[0].send("y")
            await pong(program)
            program.order(close="bye")
            await program.ended()
            assert told(program, "message") == [["x"], ["y"]]
            assert at.file.read_text() == ""
            await until(lambda: [why for why, _ in at.ledger.ends] == ["bye"])

    asyncio.run(main())
