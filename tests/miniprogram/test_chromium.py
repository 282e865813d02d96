"""The built files in Chromium, on pages, against our server over bad networks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.chromium import executable, opened

from websocket_heartbeat.cli.js import Target, library
from websocket_heartbeat.server import Hub, Peer, Request, serve
from websocket_heartbeat.testing import FaultProxy

pytestmark = pytest.mark.timeout(300)

KINDS = ["page", "taro-h5", "uni-h5", "emptied"]

PING, PONG, RETRY = 1000, 1000, 200
"""Milliseconds."""

SLACK = 10_000
"""Milliseconds that a busy machine may need; Chromium's own patience with a closing link is 60 s."""

PROGRAM = (
    """
const options = { pingTimeout: PING, pongTimeout: PONG, reconnectTimeout: RETRY, openTimeout: 5000 };
const told = [];
const tell = (...words) => told.push([performance.now(), ...words]);
const url = new URLSearchParams(location.search).get("url");
let heartbeat;

function begin(kind, url) {
    if (kind === "page") {
        heartbeat = new WebsocketHeartbeatJs({ url, ...options });
        heartbeat.onopen = () => tell("open");
        heartbeat.onmessage = ({ data }) => tell("message", data);
        heartbeat.onclose = ({ code }) => tell("close", code);
        heartbeat.onreconnect = () => tell("reconnect");
        heartbeat.onstate = (state) => tell("state", state);
        return;
    }
    const miniprogram = { "taro-h5": () => Taro, "uni-h5": () => uni, emptied: () => ({}) }[kind]();
    WebsocketHeartbeat({ miniprogram, connectSocketParams: { url }, ...options }).then((task) => {
        heartbeat = task;
        task.onOpen = () => tell("open");
        task.onMessage = ({ data }) => tell("message", data);
        task.onClose = ({ code }) => tell("close", code);
        task.onReconnect = () => tell("reconnect");
        task.onState = (state) => tell("state", state);
    });
}

function send(data) {
    heartbeat.send(heartbeat.socketTask ? { data } : data);
}

// Resolves with the first thing told from number `first` on that begins with `words`.
async function until(first, ...words) {
    for (;;) {
        const found = told.slice(first).find((event) => words.every((word, n) => event[n + 1] === word));
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}
""".replace("PING", str(PING))
    .replace("PONG", str(PONG))
    .replace("RETRY", str(RETRY))
)


@contextlib.asynccontextmanager
async def page_of(
    kind: str, url: str, bundles: Path, profile: Path, begin: str = ""
) -> AsyncIterator["Program"]:
    """Open a page and begin in it: as the kind of page does, or as the code `begin` does with the url."""
    target: Target = "browser" if kind == "page" else "miniprogram"
    scripts = {"library.js": library("iife", target, minify=True)}
    if kind in ("taro-h5", "uni-h5"):
        scripts["host.js"] = (bundles / f"{kind}.js").read_text()
    tags = "".join(f"<script src={name}></script>" for name in scripts)
    html = f"<!doctype html><title>{kind}</title><script>window.__uniConfig = {{}}</script>{tags}"
    files = {**scripts, "program.js": PROGRAM, "index.html": f"{html}<script src=program.js></script>"}
    async with opened(files, profile) as (page, errors):
        program = Program(page)
        if begin:
            await program.run(begin, url)
        else:
            await program.run("([kind, url]) => begin(kind, url)", [kind, url])
        yield program
        assert errors == []


class Program:
    """The program of a page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.seen = 0

    async def until(self, *words: Any) -> list[Any]:
        """Wait until the page is told this, after what was asked for before; return it, with its time."""
        found: list[Any] = await self.run(
            """async ([first, words]) => {
                const found = await until(first, ...words);
                return [told.indexOf(found), ...found];
            }""",
            [self.seen, list(words)],
        )
        self.seen = found[0] + 1
        return found[1:]

    async def run(self, code: str, argument: object = None) -> Any:
        """Run code in the page; return what it returns, or what its promise becomes."""
        return await self.page.evaluate(code, argument)

    async def now(self) -> float:
        return float(await self.run("performance.now()"))

    async def send(self, data: str) -> None:
        await self.run("data => send(data)", data)


@pytest.fixture(scope="module", autouse=True)
def chromium() -> str:
    return executable()


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_recovers_from_a_half_open_link_and_a_restart_and_closes(
    kind: str, real_hosts: Path, tmp_path: Path
) -> None:
    left: asyncio.Queue[str] = asyncio.Queue()

    def gone(peer: Peer, code: int | None, reason: str) -> None:
        left.put_nowait(reason)

    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve() as server,
            serve(on_close=gone) as second,
            FaultProxy("127.0.0.1", server.port) as proxy,
            page_of(kind, proxy.url(), real_hosts, tmp_path) as program,
        ):
            await program.until("open")
            await program.send("hello")
            await program.until("message", "hello")
            for _ in range(2):
                await program.until("state", "probing")
                await program.until("message", "heartbeat")
            # What is frozen in stays there; whoever connects anew is well.
            frozen = await program.now()
            proxy.freeze()
            await program.until("state", "probing")
            lost, *_ = await program.until("reconnect")
            assert lost - frozen < PING + PONG + SLACK
            proxy.thaw()
            recovered, *_ = await program.until("open")
            assert recovered - frozen < PING + PONG + RETRY + SLACK

            server.abort()
            await program.until("close")
            proxy.retarget("127.0.0.1", second.port)
            await program.until("open")
            await program.send("again")
            await program.until("message", "again")
            before = proxy.connections_accepted
            await program.run("heartbeat.close()")
            await program.until("state", "closed")
            await left.get()
            # Long enough for a retry, if there were one.
            await program.run(f"new Promise((done) => setTimeout(done, {5 * RETRY}))")
            assert proxy.connections_accepted == before

    asyncio.run(main())


def test_the_original_still_waits_for_its_half_open_link_when_ours_has_a_new_one(
    real_hosts: Path, packages: Path, tmp_path: Path
) -> None:
    original = (packages / "websocket-heartbeat-js/dist/index.js").read_text()

    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            FaultProxy("127.0.0.1", server.port) as other,
            page_of("page", proxy.url(), real_hosts, tmp_path) as program,
        ):
            # It would take the global name of ours.
            make = (
                "window.original = new library({ url, ...options }); original.onopen = () => tell('opened');"
            )
            code = f"const module = {{ exports: {{}} }}; const exports = module.exports; {original}"
            take = "const library = module.exports.default || module.exports;"
            await program.run(f"(url) => {{ {code}; {take} {make} }}", other.url())
            await program.until("opened")
            proxy.freeze()
            other.freeze()
            await program.until("reconnect")
            proxy.thaw()
            await program.until("open")
            # Its heartbeat has given the link up, too, and asked the browser to close it.
            await program.page.wait_for_function("original.ws.readyState === WebSocket.CLOSING")
            await program.run(f"new Promise((done) => setTimeout(done, {5 * RETRY}))")
            assert await program.run("original.ws.readyState") == 2
            assert other.connections_accepted == 1
            assert proxy.connections_accepted > 1

    asyncio.run(main())


LATE = """
(url) => {
    let asked = 0;
    const address = async () => {
        asked += 1;
        await new Promise((resolve) => setTimeout(resolve, 50));
        if (asked === 1) throw new Error("no token yet");
        return new URL(url + "?token=" + asked);
    };
    begin("page", address);
    heartbeat.onerror = (error) => tell("error", error.message);
    heartbeat.onclose = (event) => tell("close", event instanceof CloseEvent, event.code, event.reason);
}
"""


def test_a_page_dials_the_address_that_a_promise_brings_and_no_other(
    real_hosts: Path, tmp_path: Path
) -> None:
    paths: list[str] = []

    def note(request: Request) -> None:
        paths.append(f"{request.path}?{request.query}")

    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve(on_handshake=note) as server,
            page_of("page", server.url(), real_hosts, tmp_path, begin=LATE) as program,
        ):
            await program.until("error", "no token yet")
            await program.until("close", True, 1006, "no token yet")
            await program.until("open")
            assert paths == ["/?token=2"]

    asyncio.run(main())


def test_the_binary_type_of_a_page_holds_after_a_reconnect(real_hosts: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            page_of("page", proxy.url(), real_hosts, tmp_path) as program,
        ):
            await program.run("heartbeat.ws.binaryType = 'arraybuffer'")
            await program.run("void (heartbeat.onmessage = ({ data }) => tell(typeof data, data.byteLength))")
            await program.until("open")
            proxy.disconnect()
            await program.until("close")
            await program.until("open")
            await program.run("heartbeat.send(new Uint16Array([1, 2, 3]).subarray(1))")
            await program.until("object", 4)

    asyncio.run(main())


WATCHED = """
() => {
    const { ws } = heartbeat;
    const send = ws.send.bind(ws);
    ws.send = (data) => {
        tell("handed over", data);
        send(data);
    };
    window.addEventListener("offline", () => tell("offline"));
}
"""


def test_what_a_page_sends_while_offline_is_handed_over_when_it_is_online_again(
    real_hosts: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve() as server,
            page_of("page", server.url(), real_hosts, tmp_path) as program,
        ):
            await program.until("open")
            await program.run(WATCHED)
            await program.page.context.set_offline(True)
            await program.until("offline")
            await program.send("first")
            await program.send("second")
            handed_over = "told.filter(([, word, data]) => word === 'handed over' && data !== 'heartbeat')"
            assert await program.run(handed_over) == []
            await program.page.context.set_offline(False)
            await program.until("message", "first")
            await program.until("message", "second")
            messages = [words[2] for words in await program.run(handed_over)]
            # On another link, if Chromium has cut this one.
            assert messages in (["first", "second"], [])

    asyncio.run(main())


def test_what_a_hook_of_a_page_throws_or_rejects_with_reaches_window_onerror(
    real_hosts: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve() as server,
            page_of("page", server.url(), real_hosts, tmp_path) as program,
        ):
            await program.run("void (window.onerror = (text) => (tell('onerror', text), true))")
            await program.run("void (heartbeat.onmessage = async () => { throw new Error('no json'); })")
            await program.until("open")
            await program.send("hello")
            await program.until("onerror", "Uncaught Error: no json")
            await program.run("void (heartbeat.onmessage = () => { throw new Error('at once'); })")
            await program.send("hello")
            await program.until("onerror", "Uncaught Error: at once")
            assert await program.run("heartbeat.state") == "open"

    asyncio.run(main())


def test_an_asynchronous_login_of_a_page_goes_before_what_waits(real_hosts: Path, tmp_path: Path) -> None:
    login = """
    async () => {
        heartbeat.send("waits");
        heartbeat.onopen = async () => {
            await new Promise((resolve) => setTimeout(resolve, 50));
            heartbeat.send("login");
            const first = told.length;
            await until(first, "message", "login");
        };
    }
    """

    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            page_of("page", proxy.url(), real_hosts, tmp_path) as program,
        ):
            await program.until("open")
            proxy.refuse()
            proxy.disconnect()
            await program.until("close")
            await program.run(login)
            proxy.accept()
            first = await program.until("message")
            second = await program.until("message")
            assert [first[2], second[2]] == ["login", "waits"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "how"),
    # Taro's h5 hides the code.
    [(kind, how) for kind in KINDS for how in ("message", "code") if (kind, how) != ("taro-h5", "code")],
)
def test_a_page_that_is_dismissed_ends_and_begins_anew_when_asked(
    kind: str, how: str, real_hosts: Path, tmp_path: Path
) -> None:
    option = 'dismissal: "dismissed"' if how == "message" else "finalCloseCodes: [[4500, 4999]]"
    begin = f"url => {{ Object.assign(options, {{ {option} }}); begin({kind!r}, url); }}"

    async def main() -> None:
        hub = Hub(dismissal="dismissed" if how == "message" else None)
        async with (
            serve(hub=hub) as server,
            page_of(kind, server.url(), real_hosts, tmp_path, begin) as page,
        ):
            await page.until("open")
            hub.peers[0].send("hello")
            await page.until("message", "hello")
            hub.peers[0].dismiss("banned", 4000 if how == "message" else 4500)
            await page.until("state", "failed")
            await page.run(f"new Promise((done) => setTimeout(done, {5 * RETRY}))")
            await page.run("() => heartbeat.reconnect()")
            names = await page.run("() => told.map((event) => event[1])")
            assert names.count("close") == names.count("message") == 1
            assert "reconnect" not in names
            assert await page.run("() => heartbeat.state") == "failed"
            assert hub.peers == ()
            await page.run("() => heartbeat.createWebSocket()")
            await page.until("open")

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_renews_its_link_without_missing_an_event(kind: str, real_hosts: Path, tmp_path: Path) -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    def gone(peer: Peer, code: int | None, reason: str) -> None:
        codes.put_nowait(code)

    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve(on_close=gone) as server,
            page_of(kind, server.url(), real_hosts, tmp_path) as program,
        ):
            await program.until("open")
            reached: list[int] = []
            for number in range(60):
                if number == 20:
                    await program.run("heartbeat.renew()")
                reached.append(len(server.connections))
                for peer in server.connections:
                    peer.send(f"event {number}")
                await asyncio.sleep(0.02)
            await program.until("open")
            await program.until("close", 1000)
            # Taro's h5 lets the browser close without a code.
            assert await codes.get() == (None if kind == "taro-h5" else 1000)
            assert min(reached) == 1
            await program.send("the end")
            await program.until("message", "the end")
            told = await program.run("told.map(([, ...words]) => words)")
            missed = {f"event {n}" for n in range(60)} - {w[1] for w in told if w[0] == "message"}
            # The last one that was sent on the old link alone may be on its way when that is closed.
            first_on_both = next((n for n in range(20, 60) if reached[n] > 1), 21)
            assert missed <= {f"event {first_on_both - 1}"}
            assert not [words for words in told if words[0] in ("reconnect", "onerror")]

    asyncio.run(main())
