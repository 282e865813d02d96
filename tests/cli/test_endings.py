"""The commands that run until a signal comes end by it on every loop, and however input and output end."""

import os
import signal
import subprocess

import pytest
from tests.cli.program import ENVIRONMENT, discard, finish, start
from tests.cli.test_serve_and_connect import client, read_line, read_until, server, type_line

NO_SIGNALS = """
import asyncio

def add_signal_handler(self, *args):
    raise NotImplementedError

asyncio.SelectorEventLoop.add_signal_handler = add_signal_handler
"""
"""Makes the loop of the program one without signal handlers, as that of Windows."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_without_signal_handlers_is_ended_by_signals_all_the_same(number: signal.Signals) -> None:
    serving = start("serve", "--port", "0", before=NO_SIGNALS)
    try:
        url = read_line(serving)
        talking = start("connect", url, before=NO_SIGNALS, stdin=subprocess.PIPE)
        try:
            type_line(talking, "hello")
            assert read_line(talking) == "hello"
            talking.send_signal(number)
            ended = finish(talking)
        finally:
            discard(talking)
        serving.send_signal(number)
        done = finish(serving)
    finally:
        discard(serving)
    assert (ended.status, done.status) == (128 + number, 0)
    assert ended.err == "-- link 1 is open\n-- link 1 is gone: we closed the connection\n"
    assert done.err.startswith("client 1 has come\nclient 1 is gone: 1000")


def test_ctrl_c_ends_probe_too_without_a_traceback_on_such_a_loop() -> None:
    with server("--port", "0") as (served, url):
        program = start("probe", url, "--idle", "60", before=NO_SIGNALS)
        try:
            for _ in range(4):
                read_until(served, "has come")
            program.send_signal(signal.SIGINT)
            done = finish(program)
        finally:
            discard(program)
    assert (done.status, done.err) == (130, "")


@pytest.mark.parametrize("command", ["connect", "serve", "demo", "probe"])
def test_ctrl_c_before_a_command_has_begun_is_no_traceback_either(command: str) -> None:
    arguments = ["ws://127.0.0.1:1/"] if command in ("connect", "probe") else []
    early = "import asyncio; asyncio.run = lambda coroutine: (coroutine.close(), signal.raise_signal(2))"
    done = finish(start(command, *arguments, before=f"import signal; {early}"))
    assert (done.status, done.err) == (130, "")


def test_a_terminal_that_is_gone_is_the_end_of_input() -> None:
    pty = pytest.importorskip("pty")
    with server("--port", "0") as (_, url):
        terminal, its_end = pty.openpty()
        program = start("connect", url, stdin=its_end)
        os.close(its_end)
        try:
            os.write(terminal, b"hello\n")
            assert read_line(program) == "hello"
            os.close(terminal)
            done = finish(program)
        finally:
            discard(program)
    assert done.status == 0
    assert done.err.splitlines() == ["-- link 1 is open", "-- link 1 is gone: we closed the connection"]


def test_lines_may_end_as_on_windows_and_those_that_are_no_text_are_told() -> None:
    with server("--port", "0") as (_, url):
        program = start("connect", url, stdin=subprocess.PIPE)
        assert program.stdin is not None
        os.write(program.stdin.fileno(), b"one\r\ntwo\r\n\xff\xfe\nthree")
        done = finish(program)
    assert (done.status, done.out) == (1, "one\ntwo\nthree\n")
    assert done.err.count("-- not sent: ") == 1
    assert "Traceback" not in done.err


def test_what_standard_output_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    with server("--port", "0") as (_, url):
        monkeypatch.setitem(ENVIRONMENT, "PYTHONIOENCODING", "ascii")
        done = finish(start("connect", url, stdin=subprocess.PIPE), "\u4e2d\n")
    assert (done.status, done.out) == (0, "\\u4e2d\n")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_nobody_who_reads_is_no_reason_for_a_traceback(closed: str) -> None:
    with server("--port", "0") as (_, url), client(url) as talker:
        read_until(talker, "open")
        pipe = getattr(talker, closed)
        pipe.close()
        type_line(talker, "hello")
        if closed == "stderr":
            assert read_line(talker) == "hello"
            talker.send_signal(signal.SIGINT)
            assert talker.stdout is not None
            assert talker.stdout.read() == ""
            assert talker.wait(20) == 130
        else:
            assert talker.stderr is not None
            assert "Traceback" not in talker.stderr.read()
            assert talker.wait(20) == 1
