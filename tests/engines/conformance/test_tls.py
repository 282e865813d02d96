"""TLS verifies what the caller's context says, and delays no abort."""

import asyncio
import os
import ssl

import trustme
from tests.certificates import tls_of_server
from tests.engines.peers import Peer, close_frame, port_of, raw_server, serve_echo, ws_server
from tests.engines.recorder import failure, opened
from tests.watch import Run

from websocket_heartbeat.engines.base import Closure, Engine
from websocket_heartbeat.server import serve


def test_tls_with_a_private_authority_works(
    engine: Engine, run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serve_echo(ssl=server_tls) as server:
            link, recorder = await opened(engine, f"wss://127.0.0.1:{port_of(server)}/", ssl=client_tls)
            data = os.urandom(500_000)
            link.send("text")
            link.send(data)
            await recorder.until(lambda: len(recorder.messages) == 2)
            assert recorder.messages == ["text", data]
            assert abs(link.evidence().heard_at - loop.time()) < 0.2
            link.ping()
            await recorder.until(lambda: recorder.pongs)
            link.close(1000, "done")
            assert await recorder.closure() == Closure(1000, "done")

    run(main())


def test_tls_that_does_not_verify_is_a_verification_error(
    engine: Engine, run: Run, server_tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        async with serve_echo(ssl=server_tls) as server:
            for context in (None, ssl.create_default_context()):
                error = await failure(engine, f"wss://127.0.0.1:{port_of(server)}/", ssl=context)
                assert isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def test_a_certificate_for_another_name_is_a_verification_error(
    engine: Engine, run: Run, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(context)

    async def main() -> None:
        async with serve_echo(ssl=context) as server:
            error = await failure(engine, f"wss://127.0.0.1:{port_of(server)}/", ssl=client_tls)
            assert isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def test_a_server_without_tls_is_an_ssl_error(engine: Engine, run: Run, client_tls: ssl.SSLContext) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            error = await failure(engine, server.url(scheme="wss"), ssl=client_tls)
            assert isinstance(error, ssl.SSLError)
            assert not isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def test_a_server_that_refuses_our_certificate_is_an_ssl_error(
    engine: Engine, run: Run, client_tls: ssl.SSLContext
) -> None:
    authority = trustme.CA()
    demanding = tls_of_server(authority)
    demanding.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(client_tls)

    async def main() -> None:
        async with serve(ssl=demanding) as server:  # unlike asyncio's, it tells the client why
            # With TLS 1.3 the client learns of it only after its own part of the handshake.
            error = await failure(engine, f"wss://{server.host}:{server.port}/", ssl=client_tls)
            assert isinstance(error, ssl.SSLError)
            assert not isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def test_an_abort_and_a_close_under_tls_do_not_wait_for_the_peer(
    engine: Engine, run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.write(close_frame(1000))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, tls=server_tls) as server:
            link, recorder = await opened(engine, server.url(scheme="wss"), ssl=client_tls)
            link.ping()
            assert await recorder.closure() == Closure(1000, "")
            link, _ = await opened(engine, server.url(scheme="wss"), ssl=client_tls)
            link.abort()

    run(main())
