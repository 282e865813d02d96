"""What servers and proxies say moves no cursor and forges no line: it is escaped wherever it is shown."""

import asyncio
import logging
import unicodedata
from typing import Any

import pytest
from tests.client.test_secrets import Ears
from tests.engines.peers import Handler, Peer, close_frame, raw_server
from tests.watch import PATIENCE, Run

from websocket_heartbeat import ConnectionFailed, HandshakeRejected, ServerClosed, connect, engines
from websocket_heartbeat.redaction import printable, shown_url, with_reason

KINDS = {
    "C0": "".join(map(chr, range(32))),
    "DEL and C1": "".join(map(chr, range(127, 160))),
    "ANSI": "\x1b[2J\x1b]0;title\x07\x1b[1A\x9b31m",
    "bidi": "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e",
    "lines": "a\nERROR forged\r\x85\u2028\u2029",
    "tags": "\U000e0001\U000e0041\U000e007f\ue000\ufffe",
}
"""Characters of which no terminal may see one."""

NASTY = {char for kind in KINDS.values() for char in kind if not (char.isascii() and char.isprintable())}


def is_clean(text: str) -> bool:
    return NASTY.isdisjoint(text) and not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_such_character_is_escaped(kind: str) -> None:
    shown = printable(f"before {KINDS[kind]} after")
    assert is_clean(shown)
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_a_lone_surrogate_is_escaped_and_can_be_written() -> None:
    assert printable("a\ud800b").encode() == rb"a\ud800b"


def test_other_text_stays_as_it_is() -> None:
    for text in ("bücher", "日本語", "naïve \U0001f600", "back\\slash", "'quoted'"):
        assert printable(text) == text


def test_a_reason_that_nobody_has_given_leaves_no_colon() -> None:
    assert with_reason("the session is over", "bl\x1bocked") == r"the session is over: bl\x1bocked"
    assert with_reason("the session is over", "") == "the session is over"


@pytest.mark.parametrize("kind", KINDS)
def test_urls_are_shown_without_them(kind: str) -> None:
    assert is_clean(shown_url(f"ws://example.com/{KINDS[kind]}/feed"))
    assert is_clean(shown_url(f"ws://exam{KINDS[kind]}ple.com/feed"))


class Telltale(Ears):
    """All that a connection says in public, and the texts in its events."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        connection.on_close = lambda event: self.heard.extend([repr(event), event.reason])
        connection.on_reconnect = lambda event: self.heard.extend([repr(event), event.reason])

    def check(self, caplog: pytest.LogCaptureFixture) -> None:
        self.heard += [repr(self.connection), repr(self.connection.stats), *self.connection.stats.reasons]
        self.heard += [record.getMessage() for record in caplog.records]
        assert len(self.heard) > 5
        for text in self.heard:
            assert is_clean(text), repr(text)


@pytest.mark.parametrize("engine", engines.NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_reason_of_a_close_frame_is_escaped(
    kind: str, engine: str, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reasons = [KINDS[kind][at : at + 30] for at in range(0, len(KINDS[kind]), 30)]

    async def main() -> None:
        for reason in reasons:

            async def closes(peer: Peer, reason: str = reason) -> None:
                await peer.read_request()
                peer.write(peer.response() + close_frame(4000, reason))
                await peer.gone()

            async with raw_server(closes) as server:
                connection = connect(
                    server.url(), engine=engine, final_close_codes=[4000], max_retries=0, proxy=None
                )
                telltale = Telltale(connection)
                async with connection:
                    with pytest.raises(ConnectionFailed) as failed:
                        await asyncio.wait_for(connection.wait_closed(), PATIENCE)
                cause = failed.value.__cause__
                assert isinstance(cause, ServerClosed)
                assert cause.reason == reason
                telltale.heard += [failed.value.reason, str(failed.value), repr(failed.value)]
                telltale.heard += [str(cause), repr(cause)]
                telltale.check(caplog)
                assert printable(reason) in failed.value.reason

    run_asyncio(main())


def answers(*lines: str) -> Handler:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write("\r\n".join([*lines, "", ""]).encode())
        await peer.gone()

    return handler


SWITCHING = "HTTP/1.1 101 Switching Protocols"
RED = "\x1b[31m\u202e\x9b1A\x07"
ANSWERS = {
    "status line": answers(f"HTTP/1.1 403 {RED}", "Content-Length: 0"),
    "status": answers(f"HTTP/1.1 {RED}"),
    "version": answers(f"{RED} 403 No"),
    "no HTTP": answers(RED),
    "header value": answers("HTTP/1.1 403 No", f"X-Reason: {RED}", "Content-Length: 0"),
    "header name": answers("HTTP/1.1 403 No", f"{RED}: 1", "Content-Length: 0"),
    "upgrade": answers(SWITCHING, f"Upgrade: {RED}", "Connection: Upgrade"),
    "subprotocol": answers(SWITCHING, f"Sec-WebSocket-Protocol: {RED}", "Upgrade: websocket"),
    "accept": answers(SWITCHING, "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {RED}"),
    "extension": answers(SWITCHING, f"Sec-WebSocket-Extensions: {RED}"),
    "retry-after": answers("HTTP/1.1 503 Busy", f"Retry-After: {RED}", "Content-Length: 0"),
    "location": answers("HTTP/1.1 302 Found", f"Location: ftp://x/{RED}", "Content-Length: 0"),
    "location's host": answers("HTTP/1.1 302 Found", f"Location: ws://{RED}/", "Content-Length: 0"),
    "location, not a URL": answers("HTTP/1.1 302 Found", f"Location: //[{RED}", "Content-Length: 0"),
    "cookie": answers("HTTP/1.1 403 No", f"Set-Cookie: {RED}={RED}", "Content-Length: 0"),
}


@pytest.mark.parametrize("through", ["direct", "proxy"])
@pytest.mark.parametrize("engine", engines.NAMES)
@pytest.mark.parametrize("what", ANSWERS)
def test_the_answer_to_a_handshake_is_escaped(
    what: str, engine: str, through: str, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        async with raw_server(ANSWERS[what]) as server:
            url = server.url() if through == "direct" else "wss://127.0.0.1:9/"
            connection = connect(
                url,
                engine=engine,
                subprotocols=["v1"],
                max_retries=0,
                proxy=None if through == "direct" else f"http://127.0.0.1:{server.port}",
            )
            telltale = Telltale(connection)
            async with connection:
                await telltale.to_the_end()
            telltale.check(caplog)

    run_asyncio(main())


def test_what_a_refusal_holds_is_kept_as_received(run_asyncio: Run) -> None:
    async def main() -> None:
        async with raw_server(ANSWERS["header value"]) as server:
            async with connect(server.url(), proxy=None) as connection:
                with pytest.raises(ConnectionFailed) as failed:
                    await asyncio.wait_for(connection.wait_closed(), PATIENCE)
            cause = failed.value.__cause__
            assert isinstance(cause, HandshakeRejected)
            assert cause.header("X-Reason") == RED.encode().decode("latin-1")

    run_asyncio(main())
