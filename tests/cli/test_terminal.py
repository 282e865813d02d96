"""`connect` on a terminal: no message breaks the line that is typed, and no server commands the terminal."""

import asyncio
import re
import stat
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import PATIENCE
from tests.cli.tmux import Screen, screen
from tests.watch import Watch

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, Server, serve

pytestmark = pytest.mark.timeout(300)  # tmux may have to be installed


def run(main: Coroutine[Any, Any, None]) -> None:
    Watch().run(main, asyncio.run)


class Talk:
    """A server, and the terminal of the client that is connected to it."""

    def __init__(self, server: Server, screen: Screen) -> None:
        self.server = server
        self.screen = screen
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.ends: asyncio.Queue[tuple[int | None, str]] = asyncio.Queue()

    async def peer(self) -> Peer:
        """Return the next client that comes."""
        return await asyncio.wait_for(self.peers.get(), PATIENCE)

    async def message(self) -> Message:
        """Return the next message that comes."""
        return await asyncio.wait_for(self.messages.get(), PATIENCE)


@asynccontextmanager
async def talk(folder: Path, *arguments: str, **how: Any) -> AsyncIterator[Talk]:
    """Run a server, and `connect` to it on a terminal, until it says that it is connected."""

    def closed(peer: Peer, code: int | None, reason: str) -> None:
        made.ends.put_nowait((code, reason))

    server = serve(
        lambda peer, message: made.messages.put_nowait(message),
        on_open=lambda peer: made.peers.put_nowait(peer),
        on_close=closed,
    )
    async with server, screen(folder, "connect", server.url(), *arguments, **how) as shown:
        made = Talk(server, shown)
        await shown.seen("link 1 is open")
        await shown.seen(lambda text: text.rstrip().endswith("\n>"))
        yield made


def last_line(text: str) -> str:
    return text.rstrip().splitlines()[-1]


def test_messages_that_come_while_a_line_is_typed_appear_above_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with talk(tmp_path) as it:
            peer = await it.peer()
            await it.screen.type("half a li")
            await it.screen.seen("> half a li")
            for number in range(30):  # more than the terminal has lines
                peer.send(f"message {number}")
            shown = await it.screen.seen("< message 29\n> half a li")
            assert [line for line in shown.splitlines() if line.startswith("<")] == [
                f"< message {number}" for number in range(30)
            ]
            await it.screen.press("Left", "Left", "x", "BSpace", "End")
            await it.screen.enter("ne")
            assert await it.message() == "half a line"

    run(main())


def test_a_line_longer_than_a_narrow_terminal_survives_messages_and_another_width(tmp_path: Path) -> None:
    line = " ".join(f"word{number}" for number in range(20))

    async def main() -> None:
        async with talk(tmp_path, width=40) as it:
            peer = await it.peer()
            await it.screen.type(line)
            await it.screen.seen("word19")
            peer.send("a message of more than forty characters, which takes two lines")
            await it.screen.seen(lambda shown: f"which takes two lines> {line}" in shown.replace("\n", ""))
            for width in (60, 30):
                await it.screen.resize(width, 20)
                peer.send(f"at {width}")
                await it.screen.seen(f"< at {width}")
            await it.screen.press("Enter")
            assert await it.message() == line

    run(main())


def test_a_line_that_is_typed_survives_the_loss_of_its_link_and_is_sent_on_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        async with talk(tmp_path) as it:
            peer = await it.peer()
            await it.screen.type("still he")
            await it.screen.seen("> still he")
            peer.close(1012, "restart")
            await it.screen.seen("1012: restart")
            await it.screen.seen(re.compile(r"retry 1 in .* s: .*restart").search)  # type: ignore[arg-type]
            await it.screen.seen(lambda text: last_line(text) == "> still he" and "is open" in text[-200:])
            await it.screen.enter("re")
            assert await it.message() == "still here"

    run(main())


def test_colours_mark_messages_unless_no_color_is_set(tmp_path: Path) -> None:
    async def main() -> None:
        for name, variables in (("with", {}), ("without", {"NO_COLOR": "1"})):
            (tmp_path / name).mkdir()
            async with talk(tmp_path / name, **variables) as it:
                (await it.peer()).send("hello")
                await it.screen.seen("< hello")
                shown = await it.screen.text(escapes=True)
            colours = re.findall(r"\x1b\[[0-9;]*[1-9][0-9;]*m", shown)
            assert bool(colours) is (name == "with"), shown

    run(main())


def test_nothing_that_a_server_says_commands_the_terminal_or_looks_like_another_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with talk(tmp_path) as it:
            peer = await it.peer()
            peer.send("\x1b[2J\x07\x9b1A\rred\n-- link 9 is open\u202e")
            peer.send(b"\x00\xff\x1b")
            shown = await it.screen.seen("00ff1b")
            assert r"< \x1b[2J\x07\x9b1A\rred" in shown
            assert "\n  -- link 9 is open\\u202e" in shown
            assert "< (binary, 3 bytes) 00ff1b" in shown

    run(main())


@pytest.mark.parametrize(("key", "status"), [("C-d", 0), ("C-c", 130)])
def test_ctrl_d_and_ctrl_c_end_it(tmp_path: Path, key: str, status: int) -> None:
    async def main() -> None:
        async with talk(tmp_path) as it:
            await it.screen.press(key)
            await it.screen.seen(f"status {status}")
            assert await asyncio.wait_for(it.ends.get(), PATIENCE) == (1000, "")

    run(main())


def test_ctrl_d_with_something_unsent_says_so_and_waits_for_it_until_ctrl_c(tmp_path: Path) -> None:
    async def main() -> None:
        async with talk(tmp_path) as it:
            await it.server.close()
            await it.screen.seen("retry 2")
            await it.screen.enter("to nobody")
            # Between two prompts the terminal itself takes Ctrl-D, as the end of a line.
            await it.screen.seen(lambda shown: "to nobody" in shown and shown.rstrip().endswith("waiting >"))
            await it.screen.press("C-d")
            await it.screen.seen("1 still to be sent; Ctrl-C gives up")
            await it.screen.press("C-c")
            shown = await it.screen.seen("status 130")
            assert "before 1 message could be sent" in shown

    run(main())


def test_slash_commands_do_what_they_say(tmp_path: Path) -> None:
    async def main() -> None:
        async with talk(tmp_path) as it:
            await it.peer()
            await it.screen.enter("/ping are you there?")
            await it.screen.seen("-- pong after ")
            await it.screen.enter("/pong")
            await it.screen.enter("/hex 00 ff")
            assert await it.message() == b"\x00\xff"
            await it.screen.enter("/hex 0")
            await it.screen.seen("not hexadecimal digits")
            await it.screen.enter("//slash")
            assert await it.message() == "/slash"
            await it.screen.enter("/clse")
            await it.screen.seen("did you mean /close?")
            await it.screen.type("/rec")
            await it.screen.press("Tab")
            await it.screen.seen("> /reconnect")
            await it.screen.press("Enter")
            await it.screen.seen("link 2 is open")
            await it.screen.enter("/stats")
            await it.screen.seen("links: 2, attempts: 2")
            await it.screen.enter("/help")
            await it.screen.seen("/close [CODE [REASON]]")
            await it.screen.enter("/close 99")
            await it.screen.seen("code must be 1000 or from 3000 to 4999, not 99")
            await it.ends.get()  # of the first link
            await it.screen.enter("/close 3001 see you")
            await it.screen.seen("status 0")
            assert await asyncio.wait_for(it.ends.get(), PATIENCE) == (3001, "see you")

    run(main())


def test_what_was_typed_is_there_in_the_next_run_for_nobody_else_and_without_what_began_with_a_space(
    tmp_path: Path,
) -> None:
    file = tmp_path / "state" / "websocket-heartbeat" / "history"

    async def main() -> None:
        async with talk(tmp_path) as it:
            await it.screen.enter("remember me")
            await it.screen.enter(" but not me")
            assert await it.message() == "remember me"
            assert await it.message() == " but not me"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        async with talk(tmp_path) as it:
            await it.screen.press("Up")
            await it.screen.seen("> remember me")
            await it.screen.press("Enter")
            assert await it.message() == "remember me"
        assert "but not me" not in file.read_text()

    run(main())


def test_enter_sends_what_ctrl_r_has_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with talk(tmp_path) as it:
            for line in ("first of all", "second"):
                await it.screen.enter(line)
                assert await it.message() == line
            await it.screen.press("C-r")
            await it.screen.type("of a")
            await it.screen.seen("`of a': first of all")
            await it.screen.press("Enter")
            assert await it.message() == "first of all"

    run(main())


def test_without_history_none_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with talk(tmp_path, "--no-history") as it:
            await it.screen.enter("forget me")
            assert await it.message() == "forget me"
            await it.screen.press("Up")
            await it.screen.seen(lambda text: last_line(text) == "> forget me")
        assert not (tmp_path / "state").exists()

    run(main())


def test_a_history_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, where a folder is wanted")

    async def main() -> None:
        async with talk(tmp_path) as it:
            await it.screen.enter("hello")
            assert await it.message() == "hello"

    run(main())


def test_without_prompt_toolkit_it_says_how_to_have_it_and_talks_all_the_same(tmp_path: Path) -> None:
    missing = "import sys; sys.modules['prompt_toolkit'] = None"

    async def main() -> None:
        async with serve() as server, screen(tmp_path, "connect", server.url(), before=missing) as shown:
            await shown.seen("pip install 'websocket-heartbeat[cli]'")
            await shown.seen("is open")
            await shown.enter("hello")
            await shown.seen("< hello")
            await shown.enter("/close")
            await shown.seen("status 0")

    run(main())


def test_a_text_that_is_executed_ends_by_itself_on_a_terminal_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            serve() as server,
            screen(tmp_path, "connect", server.url(), "-x", "hello", "--wait", "0.2") as shown,
        ):
            assert "\nhello\n" in await shown.seen("status 0")

    run(main())
