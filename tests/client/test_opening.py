"""What each attempt asks for: redirects, credentials, proxies of the environment, names not in ASCII."""

import asyncio
import base64
from typing import Any

import pytest
from tests.client.conftest import World
from tests.client.servers import well_behaved
from tests.engines.peers import Peer, http_proxy, raw_server, ws_server
from tests.watch import PATIENCE, Run

from websocket_heartbeat import (
    Backoff,
    Connection,
    ConnectionFailed,
    HandshakeRejected,
    RedirectRefused,
    connect,
)
from websocket_heartbeat.client.attempt import MAX_REDIRECTS
from websocket_heartbeat.engines.base import OpenRequest


class Redirects:
    """An answer for the memory engine: the addresses that redirect, and where to."""

    def __init__(self, world: World, places: dict[str, str], status: int = 302) -> None:
        self.places = places
        self.status = status
        world.engine.answer = self.answer

    async def answer(self, request: OpenRequest) -> None:
        if request.url in self.places:
            raise HandshakeRejected(self.status, [("location", self.places[request.url])])


def connection_to(world: World, url: Any, **options: Any) -> Connection:
    return connect(url, engine=world.engine, proxy=options.pop("proxy", None), **options)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target", "keeps_headers"),
    [
        ("/there?x=1", "ws://example.com/there?x=1", True),
        ("there", "ws://example.com/a/there", True),
        ("http://example.com/there", "ws://example.com/there", True),
        ("ws://example.com:80/there", "ws://example.com:80/there", True),
        ("ws://EXAMPLE.com/there#part", "ws://example.com/there", True),
        ("//example.org/there", "ws://example.org/there", False),
        ("ws://example.com:8080/", "ws://example.com:8080/", False),
        ("https://example.com/", "wss://example.com/", False),
        ("ws://sub.example.com/", "ws://sub.example.com/", False),
        ("ws://user:password@example.org/", "ws://example.org/", False),
        ("ws://bücher.example/ä", "ws://xn--bcher-kva.example/%C3%A4", False),
    ],
)
def test_a_redirect_is_followed_and_another_origin_gets_no_headers_and_subprotocols(
    status: int, location: str, target: str, keeps_headers: bool, world: World, play: Run
) -> None:
    async def main() -> None:
        Redirects(world, {"ws://example.com/a/b": location}, status)
        async with connection_to(
            world, "ws://user:pw@example.com/a/b", additional_headers={"X-Key": "1"}, subprotocols=["v1"]
        ) as connection:
            await connection.wait_open()
        first, second = world.engine.requests
        assert second.url == target
        assert [name for name, _ in first.headers] == ["X-Key", "Authorization"]
        assert list(second.headers) == (list(first.headers) if keeps_headers else [])
        assert list(second.subprotocols) == (["v1"] if keeps_headers else [])
        assert connection.stats.attempts == 1

    play(main())


@pytest.mark.parametrize(
    "location",
    [
        "ws://example.com/",
        "http://example.com/",
        "ftp://example.com/",
        "mailto:root@example.com",
        "wss://example.com:port/",
        "wss://example.com:99999/",
        "wss://[::1/",
        "wss://a..b/",
        "wss://example.com/a b",
        f"wss://{'ä' * 70}.com/",
    ],
)
def test_a_redirect_from_encryption_or_to_nowhere_is_final(location: str, world: World, play: Run) -> None:
    async def main() -> None:
        Redirects(world, {"wss://example.com/": location})
        async with connection_to(world, "wss://example.com/") as connection:
            with pytest.raises(ConnectionFailed, match="redirects") as caught:
                await connection.wait_closed()
            assert isinstance(caught.value.__cause__, RedirectRefused)
        assert len(world.engine.requests) == 1

    play(main())


def test_redirects_that_go_round_end(world: World, play: Run) -> None:
    async def main() -> None:
        Redirects(world, {"ws://example.com/1": "/2", "ws://example.com/2": "/1"})
        async with connection_to(world, "ws://example.com/1") as connection:
            with pytest.raises(ConnectionFailed, match=f"more than {MAX_REDIRECTS} redirects"):
                await connection.wait_closed()
        assert len(world.engine.requests) == MAX_REDIRECTS + 1

    play(main())


def test_as_many_redirects_as_allowed_are_followed_also_after_a_401(world: World, play: Run) -> None:
    async def main() -> None:
        places = {f"ws://example.com/{number}": f"/{number + 1}" for number in range(MAX_REDIRECTS)}
        redirects = Redirects(world, places)

        async def answer(request: OpenRequest) -> None:
            if len(world.engine.requests) == 1:
                raise HandshakeRejected(401, [])
            await redirects.answer(request)

        world.engine.answer = answer
        async with connection_to(
            world, "ws://example.com/0", additional_headers=lambda: {"X": "1"}
        ) as connection:
            await connection.wait_open()
        assert len(world.engine.requests) == 1 + MAX_REDIRECTS + 1

    play(main())


def test_a_redirect_without_a_location_is_a_rejection(world: World, play: Run) -> None:
    async def answer(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise HandshakeRejected(302, [])

    async def main() -> None:
        world.engine.answer = answer
        async with connection_to(world, "ws://example.com/") as connection:
            await connection.wait_open()
            assert connection.stats.attempts == 2

    play(main())


def test_the_next_attempt_begins_at_the_user_s_own_address(world: World, play: Run) -> None:
    async def main() -> None:
        Redirects(world, {"ws://example.com/": "ws://other.example/"})
        async with connection_to(world, "ws://example.com/") as connection:
            (await world.opened(connection, 1)).reset()
            await world.opened(connection, 2)
        assert [request.url for request in world.engine.requests] == [
            "ws://example.com/",
            "ws://other.example/",
        ] * 2

    play(main())


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("url", "sent", "pair"),
    [
        ("ws://user:password@example.com/", "ws://example.com/", "user:password"),
        ("ws://user@example.com/", "ws://example.com/", "user:"),
        ("ws://us%40er:p%3Aw%2F@example.com:81/?q", "ws://example.com:81/?q", "us@er:p:w/"),
        ("ws://ü:ä@example.com/", "ws://example.com/", "ü:ä"),
        ("ws://example.com/", "ws://example.com/", None),
        ("WSS://EXAMPLE.COM/Path?Query", "wss://example.com/Path?Query", None),
        ("ws://bücher.example/ä?ö=ü&a=%20", "ws://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC&a=%20", None),
        ("ws://[::1]:80/", "ws://[::1]:80/", None),
        ("ws://example.com", "ws://example.com", None),
        ("ws://example.com?q=1", "ws://example.com?q=1", None),
    ],
)
def test_user_and_password_of_the_address_become_a_header_and_the_rest_ascii(
    url: str, sent: str, pair: str | None, world: World, play: Run
) -> None:
    async def main() -> None:
        async with connection_to(world, url) as connection:
            await connection.wait_open()
        request = world.engine.requests[0]
        assert request.url == sent
        assert list(request.headers) == ([("Authorization", basic(pair))] if pair is not None else [])

    play(main())


def test_a_header_of_the_user_s_own_goes_before_the_address(world: World, play: Run) -> None:
    async def main() -> None:
        async with connection_to(
            world, "ws://user:pw@example.com/", additional_headers={"authorization": "Bearer t"}
        ) as connection:
            await connection.wait_open()
        assert list(world.engine.requests[0].headers) == [("authorization", "Bearer t")]

    play(main())


def test_url_and_headers_are_asked_for_on_every_attempt(world: World, play: Run) -> None:
    async def main() -> None:
        count = [0]

        def url() -> str:
            count[0] += 1
            return f"ws://example.com/{count[0]}"

        async def headers() -> list[tuple[str, str]]:
            await asyncio.sleep(0)
            return [("X-Attempt", str(count[0]))]

        async with connection_to(world, url, additional_headers=headers) as connection:
            assert repr(connection).startswith("<Connection (url callable) ")
            (await world.opened(connection, 1)).reset()
            await world.opened(connection, 2)
            assert repr(connection) == "<Connection ws://example.com/2 open link=2>"
        assert [
            (request.url[-1], dict(request.headers)["X-Attempt"]) for request in world.engine.requests
        ] == [
            ("1", "1"),
            ("2", "2"),
        ]

    play(main())


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "ws://example.com/", None),
        ({"https_proxy": "http://p:1"}, "wss://example.com/", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "ws://example.com/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "wss://example.com/", None),
        ({"http_proxy": "http://p:1"}, "ws://example.com/", "http://p:1"),
        ({"wss_proxy": "http://p:1", "https_proxy": "http://q:1"}, "wss://example.com/", "http://p:1"),
        ({"all_proxy": "socks5h://p:1"}, "wss://example.com/", "socks5://p:1"),
        ({"all_proxy": "socks://p:1"}, "wss://example.com/", "socks5://p:1"),
        ({"https_proxy": "p:3128"}, "wss://example.com/", "http://p:3128"),
        ({"https_proxy": "user:pw@p:3128"}, "wss://example.com/", "http://user:pw@p:3128"),
        ({"https_proxy": "http://p:1", "no_proxy": "example.com"}, "wss://example.com/", None),
        ({"https_proxy": "http://p:1", "no_proxy": "example.com"}, "wss://sub.example.com/", None),
        ({"https_proxy": "http://p:1", "no_proxy": "example.com:443"}, "wss://example.com/", None),
        ({"https_proxy": "http://p:1", "no_proxy": "example.com:444"}, "wss://example.com/", "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, "wss://example.com/", None),
    ],
)
def test_the_environment_names_the_proxy(
    variables: dict[str, str],
    url: str,
    proxy: str | None,
    world: World,
    play: Run,
    environment: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)

    async def main() -> None:
        async with connection_to(world, url, proxy=True) as connection:
            await connection.wait_open()
        assert world.engine.requests[0].proxy == proxy

    play(main())


def test_a_redirect_asks_the_environment_anew(
    world: World, play: Run, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("https_proxy", "http://p:1")
    environment.setenv("no_proxy", "inside.example")

    async def main() -> None:
        Redirects(world, {"wss://example.com/": "wss://inside.example/"})
        async with connection_to(world, "wss://example.com/", proxy=True) as connection:
            await connection.wait_open()
        assert [request.proxy for request in world.engine.requests] == ["http://p:1", None]

    play(main())


def test_an_explicit_proxy_wins_over_the_environment_and_none_is_none(
    world: World, play: Run, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("all_proxy", "http://p:1")

    async def main() -> None:
        for proxy in ("http://q:2", None):
            async with connection_to(world, "ws://example.com/", proxy=proxy) as connection:
                await connection.wait_open()
            assert world.engine.requests[-1].proxy == proxy

    play(main())


def test_the_environment_s_proxy_carries_a_real_connection(
    run_asyncio: Run, environment: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with ws_server(well_behaved) as server, raw_server(http_proxy("user:pw")) as proxy:
            environment.setenv("https_proxy", f"user:pw@127.0.0.1:{proxy.port}")
            async with connect(server.url()) as connection:
                await connection.wait_open(PATIENCE)
                await connection.send("through")
                assert await asyncio.wait_for(connection.recv(), PATIENCE) == "through"
            assert proxy.connections == 1

    run_asyncio(main())


def test_a_real_server_sees_path_query_headers_and_subprotocols(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[Peer] = []

        async def note(peer: Peer) -> None:
            await peer.read_request()
            seen.append(peer)
            peer.write(peer.response("Sec-WebSocket-Protocol: v2", "X-Server: yes"))
            await well_behaved(peer)

        async with raw_server(note) as server:
            opened: list[Any] = []
            for path in ("/a?b=c", "?b=c", ""):
                connection = connect(
                    f"ws://127.0.0.1:{server.port}{path}",
                    additional_headers=[("X-A", "1"), ("X-A", "2")],
                    subprotocols=["v1", "v2"],
                )
                connection.on_open = opened.append
                async with connection:
                    await connection.wait_open(PATIENCE)
        assert [peer.request for peer in seen] == [
            "GET /a?b=c HTTP/1.1",
            "GET /?b=c HTTP/1.1",
            "GET / HTTP/1.1",
        ]
        assert seen[0].header("x-a") == "1, 2"
        assert seen[0].header("sec-websocket-protocol") == "v1, v2"
        assert [event.subprotocol for event in opened] == ["v2"] * 3
        assert ("X-Server", "yes") in opened[0].response_headers

    run_asyncio(main())


def test_an_attempt_whose_callables_ignore_cancellation_opens_no_second_link(world: World, play: Run) -> None:
    async def stubborn() -> dict[str, str]:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
        return {}

    async def main() -> None:
        async with world.connect(additional_headers=stubborn, open_timeout=2) as connection:
            await asyncio.sleep(60)
            assert connection.stats.attempts > 2
            assert connection.stats.links == 0
            assert world.engine.live_peers == []

    play(main())


def test_a_callable_that_asks_a_cancelled_future_fails_its_attempt_at_once(world: World, play: Run) -> None:
    async def cancelled() -> dict[str, str]:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
        return {}

    async def main() -> None:
        async with world.recorded(additional_headers=cancelled, max_retries=1) as connection:
            with pytest.raises(ConnectionFailed, match="additional_headers raised CancelledError"):
                await connection.wait_closed()

    play(main())


@pytest.mark.parametrize("words", ["open timeout", "heartbeat timeout", "path dead"])
def test_an_engines_own_words_are_told_once_and_as_they_are(words: str, world: World, play: Run) -> None:
    """Even where they are the words that we have for what the core itself concluded."""

    async def refuse(request: OpenRequest) -> None:
        raise OSError(words)

    async def main() -> None:
        world.engine.answer = refuse
        async with world.recorded(max_retries=0) as connection:
            with pytest.raises(ConnectionFailed) as caught:
                await connection.wait_closed()
            assert caught.value.reason == f"gave up after 0 retries: {words}"
            assert [str(error) for error in world.seen(Exception)] == [words]
            assert connection.stats.reasons == [words]

    play(main())


def test_wss_to_a_server_without_tls_is_told_as_what_it_is(run_asyncio: Run) -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def main() -> None:
        async with raw_server(plain) as server:
            url = server.url(scheme="wss")
            async with connect(url, max_retries=1, backoff=Backoff(0.05, 0.1)) as connection:
                with pytest.raises(ConnectionFailed) as caught:
                    await connection.wait_open(PATIENCE)
        words = "the server does not speak TLS on this port: is it ws:// in place of wss://?"
        assert caught.value.reason == f"gave up after 1 retry: {words}"

    run_asyncio(main())
