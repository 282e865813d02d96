"""`connect` in pipes and scripts: what it sends, prints and returns."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.cli.program import ENVIRONMENT, PATIENCE, Result, finish, start
from tests.engines.peers import Peer as RawPeer
from tests.engines.peers import raw_server
from tests.watch import Watch

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, serve


def run(main: Coroutine[Any, Any, None]) -> None:
    Watch().run(main, asyncio.run)


async def connect(url: str, *arguments: str, stdin: str = "") -> Result:
    """Run `connect` with an input that ends, until it has ended."""
    program = start("connect", url, *arguments, stdin=subprocess.PIPE)
    done = await asyncio.to_thread(finish, program, stdin)
    assert "Traceback" not in done.err
    return done


def events(done: Result) -> list[dict[str, Any]]:
    """Return what was told with --json, each without its time."""
    told = [json.loads(line) for line in done.out.splitlines()]
    for event in told:
        del event["time"]
    return told


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_host_and_a_port_are_a_url() -> None:
    async def main() -> None:
        async with serve(host="localhost") as server:
            done = await connect(f"localhost:{server.port}", "-x", "hello")
        assert (done.status, done.out) == (0, "hello\n")

    run(main())


def test_what_is_executed_is_sent_without_reading_input() -> None:
    async def main() -> None:
        async with serve() as server:
            program = start("connect", server.url(), "-x", "one", "-x", "two", stdin=subprocess.PIPE)
            assert program.stdin is not None
            program.stdin.write("not this\n")
            program.stdin.flush()  # and it is left open
            assert await asyncio.to_thread(program.wait, PATIENCE) == 0
            done = await asyncio.to_thread(finish, program)
        assert done.out == "one\ntwo\n"

    run(main())


def test_what_is_executed_is_sent_again_on_the_next_link_and_waiting_may_have_no_end() -> None:
    heard: asyncio.Queue[tuple[Peer, Message]] = asyncio.Queue()

    async def main() -> None:
        async with serve(lambda peer, message: heard.put_nowait((peer, message))) as server:
            program = start("connect", server.url(), "-x", "subscribe", "--wait", "-1")
            try:
                for _ in range(2):
                    peer, message = await asyncio.wait_for(heard.get(), PATIENCE)
                    assert message == "subscribe"
                    peer.close(1012, "restart")
            finally:
                program.terminate()
                done = await asyncio.to_thread(finish, program)
        assert done.status == 128 + 15

    run(main())


def test_binary_messages_are_hexadecimal_both_ways() -> None:
    async def main() -> None:
        async with serve() as server:
            done = await connect(server.url(), "--binary", stdin="00 ff\n\ncafe\nnone\n")
            executed = await connect(server.url(), "--binary", "-x", "0a")
        assert done.out == "00ff\n\ncafe\n"
        assert done.status == 1
        assert done.err.count("not sent: these are not hexadecimal digits") == 1
        assert done.err.endswith("-- end of input; not all was sent\n")
        assert (executed.status, executed.out) == (0, "0a\n")

    run(main())


def test_with_json_all_that_happens_is_an_event_a_line_and_nothing_else_is_printed() -> None:
    def answer(peer: Peer, message: Message) -> None:
        if message == "go":
            peer.close(4001, "go \x1b\x7f away")
        else:
            peer.send(message)
            peer.send(b"\x01\x02")

    async def main() -> None:
        async with serve(answer, subprotocols=["chat"]) as server:
            arguments = ("--json", "-s", "chat", "--retries", "0")
            done = await connect(server.url(), *arguments, stdin="\u4e2d\x7f\ngo\n")
        assert done.err == ""
        assert done.out.isascii()
        assert all(c.isprintable() for c in done.out.replace("\n", ""))
        told = events(done)
        closing = told.pop(3)
        assert closing.pop("uncertain_bytes") is not ...
        assert closing == {
            "event": "close",
            "link": 1,
            "code": 4001,
            "reason": r"the server closed the link with 4001: go \x1b\x7f away",
        }
        assert told == [
            {"event": "open", "link": 1, "subprotocol": "chat", "session": None},
            {"event": "message", "text": "\u4e2d\x7f"},
            {"event": "message", "binary": "0102"},
            {
                "event": "end",
                "status": 1,
                "reason": "failed for good: gave up after 0 retries: "
                r"the server closed the link with 4001: go \x1b\x7f away",
            },
        ]
        assert done.status == 1

    run(main())


def test_json_tells_of_retries_refusals_and_what_was_not_sent() -> None:
    async def main() -> None:
        refused = await connect(f"ws://127.0.0.1:{unused_port()}", "--json", "--retries", "1", stdin="a\n")
        told = events(refused)
        assert [event["event"] for event in told] == ["error", "reconnect", "error", "error", "end"]
        assert told[1]["retry"] == 1
        assert told[1]["delay"] > 0
        assert told[3] == {
            "event": "error",
            "kind": "Undelivered",
            "reason": "the connection ended before 1 message could be sent",
            "messages": 1,
        }
        assert told[4]["status"] == refused.status == 1

    run(main())


def test_json_tells_of_a_session() -> None:
    async def main() -> None:
        hub = Hub(on_message=lambda peer, message: peer.send(message), sessions="memory")
        async with serve(hub=hub) as server:
            done = await connect(server.url(), "--json", "--session", "require", "-x", "hello")
        await hub.close()
        told = events(done)
        assert {"event": "session", "kind": "new", "why": "", "uncertain": 0} in told
        assert {"event": "open", "link": 1, "subprotocol": None, "session": "new"} in told
        assert {"event": "message", "text": "hello"} in told
        assert told[-1] == {"event": "end", "status": 0, "reason": "end of input"}

    run(main())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("\n  Your key has expired.\nAsk for another.", "Your key has expired."),
        ("<!DOCTYPE html><html><head><title>No\n entry</title></head>", "No entry"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("x" * 1000, "x" * 200),
    ],
)
def test_a_refusal_is_status_3_and_its_first_line_is_shown(body: str, says: str) -> None:
    async def refuse(peer: RawPeer) -> None:
        await peer.read_request()
        data = body.encode()
        peer.write(f"HTTP/1.1 403 No\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        await peer.gone()

    async def main() -> None:
        async with raw_server(refuse) as server:
            text, as_json = await asyncio.gather(
                connect(server.url(), "-x", "a"), connect(server.url(), "-x", "a", "--json")
            )
        assert (text.status, as_json.status) == (3, 3)
        assert f"-- the server says: {says}\n" in text.err
        assert "failed for good: the server rejected the handshake with HTTP status 403" in text.err
        refusal = events(as_json)[0]
        assert (refusal["kind"], refusal["status"], refusal["says"]) == ("HandshakeRejected", 403, says)

    run(main())


def test_a_final_close_code_is_status_1_and_a_normal_end_without_retries_status_0() -> None:
    async def main() -> None:
        async with serve(lambda peer, message: peer.close(int(message), "bye")) as server:
            final = await connect(server.url(), stdin="4500\n")
            normal = await connect(server.url(), "--retries", "0", stdin="1000\n")
        assert final.status == 1
        assert "4500: bye" in final.err
        assert normal.status == 0

    run(main())


def test_nobody_at_the_port_is_status_1_once_the_retries_are_used_up() -> None:
    async def main() -> None:
        done = await connect(f"localhost:{unused_port()}", "--retries", "1")
        assert done.status == 1
        assert done.err.count("-- retry ") == 1
        assert "gave up after 1 retry" in done.err

    run(main())


def test_verbose_tells_what_the_library_logs() -> None:
    async def main() -> None:
        async with serve() as server:
            quiet = await connect(server.url("/?hush"), "-x", "a", "--wait", "0")
            verbose = await connect(server.url("/?hush"), "-x", "a", "--wait", "0", "-v")
        assert len(verbose.err) > len(quiet.err)
        assert "hush" not in verbose.err

    run(main())


def test_the_module_is_the_command_line_and_says_its_version_and_without_a_command_how_to_use_it() -> None:
    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "websocket_heartbeat", *arguments]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)

    from websocket_heartbeat.version import __version__

    version, bare, wrong = python("--version"), python(), python("fly")
    assert (version.returncode, version.stdout, version.stderr) == (0, f"{__version__}\n", "")
    assert (bare.returncode, bare.stderr) == (0, "")
    assert "websocket-heartbeat connect localhost:8765" in bare.stdout
    assert wrong.returncode == 2


def test_the_exit_status_of_a_stopped_reader_is_1() -> None:
    async def main() -> None:
        async with serve() as server:
            command = f"{sys.executable} -m websocket_heartbeat connect {server.url()} --wait 20 | head -n 1"
            # More than a pipe holds: `connect` cannot have written it all before its reader has stopped.
            process = await asyncio.create_subprocess_exec(
                *["bash", "-c", f"yes | head -n 100000 | {command}; echo ${{PIPESTATUS[*]}}"],
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            out, err = await process.communicate()
        assert out.decode().splitlines()[0] == "y"
        assert out.decode().splitlines()[1].split()[2:] == ["1", "0"]
        assert b"Traceback" not in err

    run(main())
