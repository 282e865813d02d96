"""A hub: its policy, its peers and its users over our own listener, and the two ways to a peer's messages."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
import websockets
from tests.certificates import tls_of_client, tls_of_server
from tests.server.raw import TEXT, client
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import ReconnectEvent, connect
from websocket_heartbeat.server import Hub, Peer, PeerGone, Refusal, Request, serve


def by_query(request: Request) -> str | Refusal | None:
    """Name the principal by the query, and refuse "mallory"."""
    if request.query == "mallory":
        return Refusal(401, {"X-Why": "known"}, b"no")
    return request.query or None


def test_peers_of_all_servers_of_a_hub_are_its_own_and_each_server_closes_its_own(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serve(hub=hub) as first, websockets.connect(first.url()) as a:
            async with (
                serve(hub=hub) as second,
                websockets.connect(second.url()),
                websockets.connect(first.url()),
            ):
                await until(lambda: len(hub.peers) == 3)
                assert [peer.id for peer in hub.peers] == [1, 2, 3]
                assert [peer.id for peer in first.connections] == [1, 3]
                assert repr(hub) == "<Hub with 3 peers>"
            await until(lambda: len(hub.peers) == 1)
            assert [peer.id for peer in hub.peers] == [1]
            await hub.close()
            await a.wait_closed()
            assert a.close_code == 1001
            assert hub.peers == ()

    run(main())


def test_the_hooks_of_a_server_take_the_messages_of_its_own_peers(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with (
            serve(lambda peer, message: peer.send("first"), hub=hub) as first,
            serve(lambda peer, message: peer.send("second"), hub=hub) as second,
            websockets.connect(first.url()) as a,
            websockets.connect(second.url()) as b,
        ):
            await a.send("x")
            await b.send("x")
            assert (await a.recv(), await b.recv()) == ("first", "second")

    run(main())


def test_the_hooks_of_a_hub_are_those_of_a_server_that_has_none(run: Run) -> None:
    async def main() -> None:
        closed: list[int | None] = []
        hub = Hub(
            on_open=lambda peer: peer.send("welcome"),
            on_message=lambda peer, message: peer.send(message[::-1]),
            on_close=lambda peer, code, reason: closed.append(code),
        )
        async with serve(hub=hub) as server:
            async with websockets.connect(server.url()) as ws:
                assert await ws.recv() == "welcome"
                await ws.send("abc")
                assert await ws.recv() == "cba"
            await until(lambda: closed == [1000])

    run(main())


def test_an_open_hook_may_iterate_over_the_messages_of_its_peer(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            peer.send(f"hello, {await peer.recv()!r}")
            async for message in peer:
                peer.send(message)

        async with serve(hub=Hub(on_open=talk)) as server, websockets.connect(server.url()) as ws:
            for message in ("ann", b"1", "heartbeat", "2"):
                await ws.send(message)
            # Heartbeats are answered at once, and are no messages.
            received = [await ws.recv() for _ in range(4)]
            assert received.count("heartbeat") == 1
            received.remove("heartbeat")
            assert received == ["hello, 'ann'", b"1", "2"]

    run(main())


def test_a_hook_may_ask_and_take_the_answer_that_would_go_to_on_message(run: Run) -> None:
    async def main() -> None:
        taken: list[object] = []

        async def on_message(peer: Peer, message: object) -> None:
            taken.append(message)
            if message == "ask me":
                peer.send("what?")
                peer.send(f"so {await peer.recv()!r}")

        async with serve(on_message) as server, websockets.connect(server.url()) as ws:
            await ws.send("ask me")
            assert await ws.recv() == "what?"
            await ws.send("this")
            assert await ws.recv() == "so 'this'"
            await ws.send("next")
            await until(lambda: taken == ["ask me", "next"])

    run(main())


def test_messages_that_came_before_the_end_are_still_received_after_it(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serve(hub=hub) as server:
            async with websockets.connect(server.url()) as ws:
                for number in range(3):
                    await ws.send(str(number))
                await until(lambda: hub.peers != () and hub.peers[0].waiting == 3)
                (peer,) = hub.peers
                assert (peer.closed, peer.close_code, peer.close_reason) == (False, None, "")
                await ws.close(4001, "bye")
            await peer.wait_closed()
            assert (peer.closed, peer.close_code, peer.close_reason) == (True, 4001, "bye")
            assert [message async for message in peer] == ["0", "1", "2"]
            with pytest.raises(PeerGone, match="bye") as gone:
                await peer.recv()
            assert gone.value.code == 4001
            with pytest.raises(ConnectionResetError):
                await peer.drain()

    run(main())


def test_one_task_at_a_time_receives_and_none_where_a_hook_takes_the_messages(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serve(hub=hub) as server, client(server) as raw:
            (peer,) = server.connections
            waiting = asyncio.create_task(peer.recv())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task waits"):
                await peer.recv()
            raw.frame(TEXT, b"x")
            assert await waiting == "x"
        async with serve(lambda peer, message: None) as server, client(server):
            with pytest.raises(RuntimeError, match="go to on_message"):
                await server.connections[0].recv()

    run(main())


def test_a_task_that_a_hook_leaves_behind_does_not_wait_for_messages_that_go_to_on_message(run: Run) -> None:
    async def main() -> None:
        left: list[asyncio.Task[object]] = []

        async def on_open(peer: Peer) -> None:
            left.append(asyncio.create_task(peer.recv()))
            await asyncio.sleep(0)

        async with serve(lambda peer, message: None, on_open=on_open) as server, client(server):
            await until(lambda: bool(left))
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(RuntimeError, match="go to on_message"):
                    await left[0]

    run(main())


def test_the_principal_is_whom_authenticate_names_or_whom_a_login_does(run: Run) -> None:
    async def main() -> None:
        async def slowly(request: Request) -> str | Refusal | None:
            await asyncio.sleep(0.01)
            return by_query(request)

        for authenticate in (by_query, slowly):
            hub = Hub(authenticate=authenticate)
            async with (
                serve(hub=hub) as server,
                client(server, "/?ann") as first,
                client(server, "/?ann"),
                client(server, "/") as nobody,
                client(server, "/?mallory") as refused,
            ):
                assert refused.status == 401
                assert b"X-Why: known" in refused.head
                await until(lambda hub=hub: len(hub.peers) == 3)  # type: ignore[misc]
                assert [peer.principal for peer in hub.peers] == ["ann", "ann", None]
                assert len(hub.user("ann")) == 2
                hub.user("ann").send("to ann")
                assert await first.read() == (TEXT, b"to ann")
                third = hub.peers[2]
                third.principal = "bob"
                hub.user("bob").send("to bob")
                assert await nobody.read() == (TEXT, b"to bob")
                third.principal = None
                assert len(hub.user("bob")) == 0
                hub.user("ann").dismiss("enough")
                assert await first.close_code() == 4500
                hub.peers[0].abort()
                await until(lambda hub=hub: len(hub.user("ann")) == 1)  # type: ignore[misc]

    run(main())


@pytest.mark.parametrize(
    "wrong",
    [True, [], {"name": "ann"}, ("ann", [])],
    ids=["a bool", "a list", "a dict", "a tuple with a list"],
)
def test_what_can_be_no_principal_lets_nobody_in(
    run: Run, wrong: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(hub=Hub(authenticate=lambda request: wrong)) as server, client(server) as raw:
            assert raw.status == 500

    run(main())
    assert "authenticate must return None, a hashable principal or a Refusal" in caplog.text


def test_a_principal_that_cannot_be_one_is_refused_where_it_is_set_and_the_old_one_stays(run: Run) -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: "ann")
        async with serve(hub=hub) as server:
            async with client(server):
                await until(lambda: hub.peers)
                (peer,) = hub.peers
                wrongs: list[Any] = [[], ("bob", [])]
                for wrong in wrongs:
                    with pytest.raises(TypeError, match="principal must be hashable"):
                        peer.principal = wrong
                    with pytest.raises(TypeError, match="principal must be hashable"):
                        hub.user(wrong)
                assert (peer.principal, len(hub.user("ann"))) == ("ann", 1)
            async with asyncio.timeout(PATIENCE):
                await peer.wait_closed()

    run(main())


def test_a_peer_knows_where_and_when_it_came_from_and_how_far_away_it_is(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            (peer,) = server.connections
            assert peer.remote_address == raw.writer.get_extra_info("sockname")[:2]
            assert peer.headers == peer.request.headers
            assert peer.certificate is None
            assert peer.since > 1.7e9
            raw.frame(TEXT, b"x")
            await raw.read()
            assert peer.latency is None or 0 <= peer.latency < PATIENCE

    run(main())


def test_a_dismissal_is_told_by_a_message_and_by_a_final_code(run: Run) -> None:
    async def main() -> None:
        hub = Hub(dismissal="go away")
        async with serve(hub=hub) as server, client(server) as raw, client(server) as other:
            await until(lambda: len(hub.peers) == 2)
            hub.peers[0].dismiss("not you")
            assert await raw.read() == (TEXT, b"go away")
            assert await raw.close_code() == 4500
            hub.peers[1].join("lobby")
            hub.room("lobby").dismiss(code=3500)
            assert await other.read() == (TEXT, b"go away")
            assert await other.close_code() == 3500

    run(main())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Hub(heartbeat=5), "heartbeat must be"),  # type: ignore[arg-type]
        (lambda: Hub(dismissal=b"x"), "dismissal must be a str"),  # type: ignore[arg-type]
        (lambda: Hub(authenticate=lambda: None), "authenticate"),  # type: ignore[arg-type, misc]
        (lambda: Hub(on_close=print), None),
        (lambda: Hub(idle_timeout=0), "idle_timeout"),
        (lambda: serve(hub=Hub(), idle_timeout=3), "idle_timeout and hub exclude each other"),
        (lambda: serve(hub=Hub(), on_handshake=by_query), "on_handshake and hub exclude"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_is_named_where_it_is_given(call: Callable[[], Any], text: str | None) -> None:
    if text is None:
        call()
        return
    with pytest.raises((TypeError, ValueError), match=text):
        call()


def test_a_peer_shows_the_certificate_of_its_client(run: Run) -> None:
    async def main() -> None:
        authority = trustme.CA()
        theirs = tls_of_server(authority)
        theirs.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(theirs)
        ours = tls_of_client(authority)
        authority.issue_cert("ann@example.com").configure_cert(ours)
        async with serve(ssl=theirs) as server, websockets.connect(server.url(), ssl=ours):
            certificate = server.connections[0].certificate
            assert certificate is not None
            assert ("email", "ann@example.com") in certificate["subjectAltName"]

    run(main())


def test_one_peer_can_be_sent_away_and_comes_back_after_its_hint(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serve(hub=hub) as server, connect(server.url()) as connection:
            retries: list[ReconnectEvent] = []
            connection.on_reconnect = retries.append
            await until(lambda: hub.peers)
            hub.peers[0].send_away(0.3, reason="moving")
            await until(lambda: retries)
            assert retries[0].delay >= 0.3
            assert "1012: moving; retry-after=0.3" in retries[0].reason
            await until(lambda: [peer.id for peer in hub.peers] == [2])
            for wrong in (-1, float("inf")):
                with pytest.raises(ValueError, match="after"):
                    hub.peers[0].send_away(wrong)

    run(main())
