"""The servers that the suite runs, each in a process of its own, and where it is known to fall short."""

import asyncio
import json
import os
import socket
import ssl
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from tests.certificates import tls_of_client
from tests.server.conformance.app import LARGEST
from tests.watch import PATIENCE
from websockets.asyncio.client import connect

from websocket_heartbeat import connect as our_connect

ROOT = Path(__file__).parents[3]
APP = "tests.server.conformance.app"


class Pems(NamedTuple):
    """The files of a key and of its certificate."""

    key: str
    certificate: str


@dataclass(frozen=True)
class Kind:
    """A server, and how it is started.

    package: whose version is shown. arguments: of `python -m`, to start it at a port, with or without TLS.
    has_endpoints: whether what serves a client is a coroutine with whose end the client goes; else it is a
    hook. is_asgi: whether it also runs endpoints that know nothing of the hub. can_reset: whether the hub can
    reset its connections. short: what is shown instead of the best, by check; of SIGTERM, "A or B" where
    chance decides.
    """

    name: str
    package: str
    arguments: Callable[[int, Pems | None], list[str]]
    has_endpoints: bool = True
    is_asgi: bool = True
    can_reset: bool = True
    short: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version that is installed."""
        return version(self.package)


def _uvicorn(implementation: str, loop: str) -> Callable[[int, Pems | None], list[str]]:
    def arguments(port: int, pems: Pems | None) -> list[str]:
        tls = [] if pems is None else ["--ssl-keyfile", pems.key, "--ssl-certfile", pems.certificate]
        return [
            "uvicorn", f"{APP}:app", "--port", str(port), "--ws", implementation, "--loop", loop,
            "--ws-max-size", str(LARGEST), "--timeout-graceful-shutdown", "5", "--log-level", "warning", *tls,
        ]  # fmt: skip

    return arguments


def _hypercorn(port: int, pems: Pems | None) -> list[str]:
    tls = [] if pems is None else ["--keyfile", pems.key, "--certfile", pems.certificate]
    return ["hypercorn", f"{APP}:app", "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "1", *tls]


def _granian(port: int, pems: Pems | None) -> list[str]:
    tls = [] if pems is None else ["--ssl-keyfile", pems.key, "--ssl-certificate", pems.certificate]
    return [
        "granian", f"{APP}:app", "--interface", "asgi", "--port", str(port), "--log-level", "warning", *tls
    ]  # fmt: skip


def _daphne(port: int, pems: Pems | None) -> list[str]:
    where = ["--port", str(port)]
    if pems is not None:
        where = ["-e", f"ssl:{port}:privateKey={pems.key}:certKey={pems.certificate}:interface=127.0.0.1"]
    return [
        "daphne", f"{APP}:app", "--verbosity", "0",
        "--websocket-max-message-size", str(LARGEST), "--websocket-max-frame-size", str(LARGEST), *where,
    ]  # fmt: skip


def _own(name: str) -> Callable[[int, Pems | None], list[str]]:
    return lambda port, _: [APP, name, str(port)]


_HOOK = {"endpoint cancelled": "a hook: goes on", "endpoint returns, raises": "a hook: goes on"}

SERVERS = (
    Kind(
        "serve(hub=...)",
        "websocket-heartbeat",
        _own("ours"),
        has_endpoints=False,
        is_asgi=False,
        short={"SIGTERM": "close 1001", **_HOOK},
    ),
    Kind(
        "uvicorn, websockets-sansio",
        "uvicorn",
        _uvicorn("websockets-sansio", "uvloop"),
        short={"SIGTERM": "close 1012 and hint"},
    ),
    Kind(
        "uvicorn, wsproto",
        "uvicorn",
        _uvicorn("wsproto", "asyncio"),
        short={"SIGTERM": "close 1012 and hint"},
    ),
    Kind(
        "hypercorn",
        "hypercorn",
        _hypercorn,
        short={"the client's end": "that it left", "SIGTERM": "close 1001"},
    ),
    Kind(
        "granian",
        "granian",
        _granian,
        can_reset=False,
        short={
            "silent peer": "close, not pinged",
            "deaf peer": "let go",
            "half-open peer": "end of file",
            "abort": "close",
            "the client's end": "code",
            "SIGTERM": "close 1012 and hint or end of file",
        },
    ),
    Kind(
        "daphne",
        "daphne",
        _daphne,
        short={
            "refusal": "close 1013, retry-after=7",
            "the client's end": "code",
            "SIGTERM": "close 1001 or end of file",
        },
    ),
    Kind("aiohttp.web", "aiohttp", _own("aiohttp"), is_asgi=False, short={"SIGTERM": "close 1012 and hint"}),
    Kind("websockets", "websockets", _own("websockets"), is_asgi=False, short={"SIGTERM": "close 1001"}),
)


class Tls(NamedTuple):
    """What a server needs to speak TLS, and what its clients do."""

    pems: Pems
    client: ssl.SSLContext


def issue_tls(folder: Path) -> Tls:
    """Make a key and a certificate in the folder."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    pems = Pems(str(folder / "key.pem"), str(folder / "certificate.pem"))
    issued.private_key_pem.write_to_path(pems.key)
    issued.cert_chain_pems[0].write_to_path(pems.certificate)
    return Tls(pems, tls_of_client(authority))


class BackEnd:
    """One of them, running. Its host and port are where to connect; tls: how, where that is by TLS."""

    host = "127.0.0.1"

    process: Process

    def __init__(self, kind: Kind, port: int, output: Any, tls: Tls | None, folder: Path) -> None:
        self.kind = kind
        self.port = port
        self.tls = None if tls is None else tls.client
        self._pems = None if tls is None else tls.pems
        self._output = output
        self._folder = folder
        self.at_first: dict[str, int]

    def url(self, target: str) -> str:
        """Return where a client finds what is at a path."""
        return f"{'ws' if self.tls is None else 'wss'}://{self.host}:{self.port}{target}"

    async def remember(self) -> None:
        """Keep what the process has before clients come."""
        async with our_connect(self.url("/echo?first"), session="require", ssl=self.tls) as connection:
            await connection.send("hello")  # the first session opens the store
            await connection.recv()
        self.at_first = await self.answer("facts", is_right=lambda facts: facts["peers"] == 0)
        await asyncio.sleep(0.1)
        self.at_first = await self.ask("facts")

    async def ask(self, command: str, *arguments: object) -> Any:
        """Have the back end do what one of app.COMMANDS does; return the answer."""
        async with (
            asyncio.timeout(PATIENCE),
            connect(
                self.url("/ask"),
                ssl=self.tls,
                compression=None,
                proxy=None,
            ) as client,
        ):
            await client.send(json.dumps([command, *arguments]))
            return json.loads(await client.recv())

    async def answer(self, command: str, *arguments: object, is_right: Callable[[Any], object] = bool) -> Any:
        """Ask until the answer is right."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = await self.ask(command, *arguments)
            if is_right(answer):
                return answer
            assert time.monotonic() < deadline, f"{command} {arguments}: still {answer}"
            await asyncio.sleep(0.1)

    def output(self) -> str:
        """Return what it has printed so far."""
        self._output.seek(0)
        return str(self._output.read().decode(errors="replace"))

    async def restart(self) -> None:
        """Tell the process to end, as at a deployment, and start another one at the same place."""
        self.process.terminate()
        await asyncio.wait_for(self.process.wait(), PATIENCE)
        await self.start()

    async def start(self) -> None:
        """Start the process, and wait until it listens."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *self.kind.arguments(self.port, self._pems),
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SESSIONS": f"sqlite:///{self._folder / 'sessions.db'}",
            },
            stdin=DEVNULL,
            stdout=self._output,
            stderr=STDOUT,
        )
        await _listens(self)


@asynccontextmanager
async def running(kind: Kind, tls: Tls | None = None) -> AsyncIterator[BackEnd]:
    """Start a server, wait until it listens, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as folder:
        back_end = BackEnd(kind, port, output, tls, Path(folder))
        try:
            await back_end.start()
            yield back_end
        finally:
            process = back_end.process
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), PATIENCE)
                except TimeoutError:
                    process.kill()
                    await process.wait()


async def _listens(back_end: BackEnd) -> None:
    deadline = time.monotonic() + 2 * PATIENCE
    while True:
        try:
            _, writer = await asyncio.open_connection(back_end.host, back_end.port)
        except OSError:
            assert back_end.process.returncode is None, back_end.output()
            assert time.monotonic() < deadline, back_end.output()
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
