"""The nine promises that websocket-heartbeat-js tests of itself, kept by the built file in Chromium.

Its own suite is not in its package. What each of its tests demands is said here in our words, with the same
defaults, and without events where it calls handlers by hand.
"""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.chromium import executable, opened

from websocket_heartbeat.cli.js import library
from websocket_heartbeat.server import Peer, serve

pytestmark = pytest.mark.timeout(300)

PROMISES = [
    "onopen is called",
    "onopen is called where the server takes one of the protocols",
    "a function gives the heartbeat, and the server's answer is a message like others",
    "what is sent arrives, and what the server answers is told",
    "onclose called by hand tells onclose and onreconnect at once",
    "close() after that tells onclose, with forbidReconnect set",
    "with repeatLimit 4 there are four retries",
    "without a limit there are more than five, until close()",
    "with repeatLimit 0 there is none",
]

PAGE = """
const [alive, dead] = ["alive", "dead"].map((name) => new URLSearchParams(location.search).get(name));
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
// Resolves when the hook is called.
const called = (heartbeat, hook) => new Promise((resolve) => {
    heartbeat[hook] = resolve;
});
function require(holds) {
    if (!holds) throw new Error("not kept");
}

async function first() {
    const heartbeat = new WebsocketHeartbeatJs({ url: alive });
    await called(heartbeat, "onopen");
    require(heartbeat.repeat === 0);
    return heartbeat;
}

const sharing = first();
const promises = [
    () => sharing,
    async () => {
        const heartbeat = new WebsocketHeartbeatJs({ url: alive, protocols: ["protocol1"] });
        await called(heartbeat, "onopen");
        require(heartbeat.ws.protocol === "protocol1");
        heartbeat.close();
    },
    async () => {
        const heartbeat = new WebsocketHeartbeatJs({ url: alive, pingMsg: () => "beat", pingTimeout: 500 });
        await new Promise((resolve) => {
            heartbeat.onmessage = ({ data }) => data === "beat" && resolve();
        });
        heartbeat.close();
    },
    async () => {
        const heartbeat = await sharing;
        heartbeat.send("hello");
        require((await called(heartbeat, "onmessage")).data === "hello");
    },
    async () => {
        const heartbeat = await sharing;
        await pause(1000); // After the promise before.
        const told = [];
        heartbeat.onclose = () => told.push("close");
        heartbeat.onreconnect = () => told.push("reconnect");
        heartbeat.ws.onclose();
        require(told.join() === "close,reconnect");
    },
    async () => {
        const heartbeat = await sharing;
        await pause(1000);
        const closed = called(heartbeat, "onclose");
        heartbeat.close();
        await closed;
        require(heartbeat.forbidReconnect === true);
    },
    async () => {
        const heartbeat = new WebsocketHeartbeatJs({ url: dead, repeatLimit: 4 });
        while (heartbeat.repeat < 4) await called(heartbeat, "onreconnect");
        await pause(8000);
        require(heartbeat.repeat === 4);
    },
    async () => {
        const heartbeat = new WebsocketHeartbeatJs({ url: dead });
        while (heartbeat.repeat <= 5) await called(heartbeat, "onreconnect");
        heartbeat.close();
        await pause(2000);
        require(heartbeat.repeat > 5);
    },
    async () => {
        const heartbeat = new WebsocketHeartbeatJs({ url: dead, repeatLimit: 0 });
        await pause(5000);
        require(heartbeat.repeat === 0);
    },
];
window.kept = Promise.all(promises.map((promise) => promise().then(() => true, String)));
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of each promise, whether it was kept, or what went wrong."""
    executable()
    return asyncio.run(played(tmp_path_factory.mktemp("profile")))


async def played(profile: Path) -> Any:
    files = {
        "library.js": library("iife", "browser", minify=True),
        "page.js": PAGE,
        "index.html": "<!doctype html><script src=library.js></script><script src=page.js></script>",
    }

    def echo(peer: Peer, message: str | bytes) -> None:
        peer.send(message)

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"ws://127.0.0.1:{nobody.getsockname()[1]}/"
        async with (
            asyncio.timeout(200),
            serve(on_message=echo, subprotocols=["protocol1"]) as server,
            opened(files, profile, f"alive={server.url()}&dead={dead}") as (page, errors),
        ):
            results = await page.evaluate("kept")
            assert errors == []
            return dict(zip(PROMISES, results, strict=True))


@pytest.mark.parametrize("promise", PROMISES)
def test_the_promise_is_kept(promise: str, kept: Any) -> None:
    assert kept[promise] is True
