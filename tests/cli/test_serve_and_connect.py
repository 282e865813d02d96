"""`serve` and `connect` talk to each other, outlive each other, and end cleanly."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
import websockets
from tests.cli.program import Program, discard, finish, start

from websocket_heartbeat.redaction import printable
from websocket_heartbeat.server import Refusal, Request, serve


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[tuple[Program, str]]:
    """Run `serve`; yield it and its URL."""
    program = start("serve", *arguments)
    try:
        yield program, read_line(program)
    finally:
        discard(program)


@contextlib.contextmanager
def client(*arguments: str) -> Iterator[Program]:
    """Run `connect`, with lines to be typed."""
    program = start("connect", *arguments, stdin=subprocess.PIPE)
    try:
        yield program
    finally:
        discard(program)


def read_until(program: Program, wanted: str) -> str:
    """Return what the program says on standard error, up to the line that has `wanted` in it."""
    assert program.stderr is not None
    told = ""
    while line := program.stderr.readline():
        told += line
        if wanted in line:
            return told
    raise AssertionError(f"{wanted!r} was never said: {told}")


def type_line(program: Program, line: str) -> None:
    assert program.stdin is not None
    program.stdin.write(line + "\n")
    program.stdin.flush()


def read_line(program: Program) -> str:
    assert program.stdout is not None
    return program.stdout.readline().strip()


def test_lines_come_back_and_the_end_of_input_ends_it_when_all_was_sent() -> None:
    with server("--port", "0") as (_, url):
        done = finish(start("connect", url, stdin=subprocess.PIPE), "one\ntwo\nthree without a newline")
    assert (done.status, done.out) == (0, "one\ntwo\nthree without a newline\n")
    assert "link 1 is open" in done.err


def test_a_file_as_input_works_like_a_pipe(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "lines")
    with open(path, "w") as file:
        file.write("from a file\n")
    with server("--port", "0") as (_, url), open(path) as file:
        done = finish(start("connect", url, stdin=file.fileno()))
    assert (done.status, done.out) == (0, "from a file\n")


def test_what_is_typed_while_the_server_is_away_reaches_the_next_one() -> None:
    with contextlib.ExitStack() as stack:
        first, url = stack.enter_context(server("--port", "0"))
        talker = stack.enter_context(client(url))
        type_line(talker, "before")
        assert read_line(talker) == "before"
        first.send_signal(signal.SIGTERM)
        away = finish(first)
        assert (away.status, away.out) == (0, "")
        assert "client 1 is gone: 1001" in away.err  # it was asked to go, and answered
        read_until(talker, "retry")
        type_line(talker, "meanwhile")
        _, again = stack.enter_context(server("--port", url.rstrip("/").rpartition(":")[2]))
        assert again == url
        assert read_line(talker) == "meanwhile"
        assert finish(talker, "").status == 0


def test_a_silent_client_that_answers_the_server_stays_and_one_that_hangs_is_dropped() -> None:
    with (
        server("--port", "0", "--heartbeat", "beat", "--idle-timeout", "1.5") as (served, url),
        client(url, "--heartbeat", "beat", "--interval", "0.5") as beating,
        client(url, "--interval", "60") as silent,
    ):
        read_until(silent, "is open")
        for _ in range(8):  # for longer than the idle timeout
            assert read_line(beating) == "beat"
        silent.send_signal(signal.SIGSTOP)
        read_until(served, "silent for 1.5 s")
        assert finish(beating, "").err.count("is gone") == 1  # at the end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_end_of_serve_and_interrupts_connect(number: signal.Signals) -> None:
    with server("--port", "0") as (served, url), client(url) as talker:
        read_until(talker, "open")
        talker.send_signal(number)
        ended = finish(talker)
        served.send_signal(number)
        done = finish(served)
    assert (ended.status, done.status) == (128 + number, 0)
    assert "Traceback" not in ended.err + done.err


def test_lines_that_could_not_be_sent_are_counted_in_words() -> None:
    with client(f"ws://127.0.0.1:{_unused_port()}") as talker:
        type_line(talker, "nobody hears this")
        read_until(talker, "retry 2")
        talker.send_signal(signal.SIGINT)
        done = finish(talker)
    assert done.status == 130
    assert "could be sent" in done.err


def test_a_port_in_use_is_named() -> None:
    with server("--port", "0") as (_, url):
        port = url.rstrip("/").rpartition(":")[2]
        done = finish(start("serve", "--port", port))
    assert (done.status, done.out) == (1, "")
    assert "127.0.0.1" in done.err
    assert port in done.err
    assert "Traceback" not in done.err


def test_headers_reach_the_server_and_a_refusal_ends_it_without_showing_them() -> None:
    seen: list[str | None] = []

    def refuse(request: Request) -> Refusal:
        seen.append(request.header("X-Token"))
        return Refusal(403)

    async def main() -> None:
        async with serve(on_handshake=refuse) as refusing:
            program = start(
                "connect",
                refusing.url("/feed?key=hush"),
                "--header",
                "X-Token: hush",
                stdin=subprocess.PIPE,
            )
            done = await asyncio.to_thread(finish, program)
        assert done.status == 3
        assert "403" in done.err
        assert "hush" not in done.err
        assert seen == ["hush"]

    asyncio.run(main())


def test_a_reader_that_leaves_ends_the_client_without_a_traceback() -> None:
    with server("--port", "0") as (_, url), client(url) as talker:
        type_line(talker, "one")
        assert read_line(talker) == "one"
        assert talker.stdout is not None
        talker.stdout.close()
        type_line(talker, "two")
        assert talker.stderr is not None
        assert "Traceback" not in talker.stderr.read()
        assert talker.wait(timeout=20) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
def test_messages_that_cannot_be_printed_end_the_client_with_status_1() -> None:
    with server("--port", "0") as (_, url):
        done = finish(
            start("connect", url, before=f"import os; {onto('/dev/full')}", stdin=subprocess.PIPE), "a\n"
        )
    assert done.status == 1
    assert done.err.count("cannot print") == 1


def test_messages_for_a_closed_standard_output_end_the_client_with_status_1() -> None:
    with server("--port", "0") as (_, url):
        closed = "import os, sys; os.close(1); sys.stdout = None"
        done = finish(start("connect", url, before=closed, stdin=subprocess.PIPE), "a\nb\n")
    assert done.status == 1
    assert done.err.count("cannot print") == 1
    assert "raised" not in done.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
def test_a_url_that_cannot_be_printed_is_not_blamed_on_the_address() -> None:
    done = finish(start("serve", "--port", "0", before=f"import os; {onto('/dev/full')}"))
    assert done.status == 1
    assert "cannot listen" not in done.err


def onto(path: str) -> str:
    """Return Python that sends standard output there."""
    return f"os.dup2(os.open({path!r}, os.O_WRONLY), 1)"


def test_input_that_is_closed_is_at_its_end() -> None:
    with server("--port", "0") as (_, url):
        done = finish(start("connect", url, before="import sys, os; os.close(0); sys.stdin = None"))
    assert (done.status, done.out) == (0, "")
    assert "Traceback" not in done.err


def test_the_end_of_input_alone_waits_until_the_server_was_reached() -> None:
    with server("--port", "0") as (_, url):
        done = finish(start("connect", url))
    assert (done.status, done.out) == (0, "")
    assert "link 1 is open" in done.err


def test_what_the_other_side_says_cannot_command_the_terminal() -> None:
    assert printable("plain, \u4e2d\u6587\ttab", keep="\t\n") == "plain, \u4e2d\u6587\ttab"
    assert printable("\x1b[2J\x07\r\x9b\t") == r"\x1b[2J\x07\r\x9b\t"


def test_a_clients_close_reason_forges_no_line_of_the_server() -> None:
    with server("--port", "0") as (served, url):

        async def leave() -> None:
            async with websockets.connect(url) as ws:
                await ws.close(4000, "\x1b[2J\nclient 7 has come")

        asyncio.run(leave())
        assert (
            read_until(served, "is gone").splitlines()[-1]
            == r"client 1 is gone: 4000 \x1b[2J\nclient 7 has come"
        )


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
