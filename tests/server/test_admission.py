"""A hub lets in as many clients as it can serve, over all its transports."""

from typing import Any

import pytest
from tests.server.raw import client
from tests.watch import Run, until

from websocket_heartbeat.server import Hub, serve


@pytest.mark.parametrize("limit", ["max_peers", "max_peers_per_address"])
def test_the_places_of_a_hub_are_counted_over_all_its_listeners(run: Run, limit: str) -> None:
    limits: dict[str, Any] = {limit: 2}

    async def main() -> None:
        hub = Hub(**limits)
        async with serve(hub=hub) as one, serve(hub=hub) as other:
            async with client(one) as first, client(other) as second, client(other) as third:
                assert (first.status, second.status) == (101, 101)
                assert third.status == {"max_peers": 503, "max_peers_per_address": 429}[limit]
                await until(lambda: len(hub.peers) == 2)
            await until(lambda: not hub.peers)
            async with client(other) as again:
                assert again.status == 101

    run(main())


def test_an_origin_that_is_not_allowed_takes_no_place(run: Run) -> None:
    async def main() -> None:
        async with (
            serve(max_peers=1) as server,
            client(server),
            client(server, headers="Origin: https://evil.example\r\n") as stranger,
        ):
            assert stranger.status == 403

    run(main())


@pytest.mark.parametrize("option", ["max_peers", "max_peers_per_address"])
def test_the_limits_of_a_hub_are_given_to_the_hub(option: str) -> None:
    one: dict[str, Any] = {option: 1}
    none: dict[str, Any] = {option: 0}
    with pytest.raises(TypeError, match=f"{option} and hub exclude each other: give it to the Hub"):
        serve(hub=Hub(), **one)
    with pytest.raises(ValueError, match=f"{option} must be at least 1, not 0"):
        Hub(**none)
