"""`probe`: its output, its status, and what it never shows."""

import asyncio
import json
import signal
import sys
from typing import Any

import pytest
from tests.cli.probe.running import probed, run
from tests.cli.program import finish, start
from tests.engines.peers import Peer, raw_server

from websocket_heartbeat.cli import main as command_line
from websocket_heartbeat.cli import probe
from websocket_heartbeat.cli.probe.report import Report, shown_headers
from websocket_heartbeat.server import serve


def test_the_program_prints_one_json_object_or_text_and_tells_by_its_status() -> None:
    async def main() -> None:
        async with serve() as server:
            url = server.url("/?key=hush")
            fine, text = await asyncio.gather(
                asyncio.to_thread(finish, start("probe", url, "--json")),
                asyncio.to_thread(finish, start("probe", url)),
            )
        gone = await asyncio.to_thread(finish, start("probe", url, "--json"))
        assert (fine.status, fine.err) == (0, "")
        document = json.loads(fine.out)
        assert document["ok"] is True
        assert document["pings"]["answered"] == 5
        assert (text.status, text.err) == (0, "")
        assert text.out.startswith("Fine: ws://127.0.0.1:")
        assert (gone.status, gone.err) == (1, "")
        assert json.loads(gone.out)["problems"][0].startswith("TCP: refused")
        assert "hush" not in fine.out + text.out + gone.out

    run(main())


def test_both_forms_escape_what_a_server_says() -> None:
    said = "\x1b[2J\x7f\x9b1A\u202e"
    as_latin_1 = said.encode().decode("latin-1")  # as header fields are read

    async def refuses(peer: Peer) -> None:
        await peer.read_request()
        lines = ["HTTP/1.1 403 No", f"Server: {said}", f"{said}: 1", "Content-Length: 0", "", ""]
        peer.write("\r\n".join(lines).encode())
        await peer.gone()

    async def main() -> None:
        async with raw_server(refuses) as server:
            as_json, text = await asyncio.gather(
                asyncio.to_thread(finish, start("probe", server.url(), "--json")),
                asyncio.to_thread(finish, start("probe", server.url())),
            )
        for done in (as_json, text):
            assert done.status == 1
            assert all(c.isprintable() for c in done.out.replace("\n", ""))
        assert ["Server", as_latin_1] in json.loads(as_json.out)["opening"]["headers"]
        assert r"Server: \x1b[2J\x7f" in text.out

    run(main())


def test_neither_form_needs_rich_nor_other_engines() -> None:
    async def main() -> None:
        missing = "import sys; sys.modules['rich'] = sys.modules['aiohttp'] = None"
        async with serve() as server:
            programs = [start("probe", server.url(), *form, before=missing) for form in (["--json"], [])]
            for done in await asyncio.gather(*(asyncio.to_thread(finish, program) for program in programs)):
                assert (done.status, done.err) == (0, "")

    run(main())


def test_the_schema_in_the_help_names_every_key_of_the_document() -> None:
    help_text = probe.__doc__ or ""
    words = set(help_text.replace(",", " ").replace("(", " ").replace(")", " ").replace(";", " ").split())
    words = {word.rstrip(":") for word in words}
    assert set(Report("", False).document()) <= words


def test_ctrl_c_while_it_waits_shows_what_was_found_so_far() -> None:
    opened = asyncio.Event()
    count = 0

    def note(_: Any) -> None:
        nonlocal count
        count += 1
        if count == 4:
            opened.set()

    async def main() -> None:
        async with serve(on_open=note) as server:
            program = start("probe", server.url(), "--idle", "60")
            async with asyncio.timeout(30):
                await opened.wait()
            await asyncio.sleep(1)
            program.send_signal(signal.SIGINT)
            done = await asyncio.to_thread(finish, program)
        assert (done.status, done.err) == (130, "")
        assert done.out.startswith("Interrupted")
        assert "5 of 5 answered" in done.out
        assert "not cut within" in done.out

    run(main())


def test_on_a_terminal_what_is_done_is_told_in_one_line_and_nowhere_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serve() as server:
            await probed(server.url(), "--idle", "0.5")
            assert capsys.readouterr().err == ""
            monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
            await probed(server.url(), "--idle", "1.4")
        told = capsys.readouterr().err.split("\r\x1b[K")
        assert "idle: 1 s left" in told
        assert "pings" in told
        assert max(map(len, told)) < 80

    run(main())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["http://user:hush@localhost/?hush"], ["URL", "ws://"]),
        (["ws://localhost", "--pings", "0"], ["--pings", "at least 1"]),
        (["ws://localhost", "--idle", "-1"], ["--idle", "'-1'"]),
        (["ws://localhost", "--timeout", "0"], ["--timeout", "'0'"]),
        (["ws://localhost", "--header", "hush"], ["--header", "NAME:VALUE"]),
        (["ws://localhost", "--subprotocol", "a b"], ["--subprotocol", "token"]),
        (["ws://localhost", "--proxy", "ftp://u:hush@h/"], ["--proxy", "http://"]),
        (["ws://localhost", "--heartbeat", "\udcff"], ["--heartbeat", "surrogates"]),
    ],
)
def test_a_wrong_argument_ends_it_with_status_2_and_shows_no_secret(
    arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command_line(["probe", *arguments])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "hush" not in told
    for part in named:
        assert part in told


def test_of_headers_only_values_that_are_known_to_be_harmless_are_shown() -> None:
    given = [
        ("RETRY-AFTER", "3"),
        ("X-Auth", "hush"),
        ("Location", "https://user:hush@example.com/login?hush#hush"),
        ("Location", "http://[hush"),
        ("Proxy-Authenticate", "Basic hush"),
        ("WWW-Authenticate", "Negotiate"),
    ]
    assert shown_headers(given, "ws://example.com/") == [
        ("RETRY-AFTER", "3"),
        ("X-Auth", "(4 characters, not shown)"),
        ("Location", "https://example.com/login?..."),
        ("Location", "(unreadable URL)"),
        ("Proxy-Authenticate", "Basic ..."),
        ("WWW-Authenticate", "Negotiate"),
    ]
