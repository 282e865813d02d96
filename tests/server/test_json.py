"""JSON of peers and rooms."""

from typing import Any

import pytest
from tests.watch import Run, until

from websocket_heartbeat import NotJSON, connect
from websocket_heartbeat.server import Hub, Peer, serve


def test_a_peer_is_asked_and_told_in_json(run: Run) -> None:
    async def main() -> None:
        heard: list[Any] = []

        async def talk(peer: Peer) -> None:
            login = await peer.recv_json()
            peer.send_json({"hello": login["name"]})
            peer.send_json("position", volatile=True)
            with pytest.raises(NotJSON):
                await peer.recv_json()
            async for value in peer.json():
                heard.append(value)
                peer.send_json(len(heard))

        async with serve(hub=Hub(on_open=talk)) as server, connect(server.url()) as connection:
            await connection.send_json({"name": "ann"})
            assert await connection.recv_json() == {"hello": "ann"}
            assert await connection.recv_json() == "position"
            await connection.send("no JSON")
            for number in (1, 2):
                await connection.send_json([number])
                assert await connection.recv_json() == number
        assert heard == [[1], [2]]

    run(main())


def test_all_of_a_room_get_a_value(run: Run) -> None:
    async def main() -> None:
        hub = Hub(on_open=lambda peer: peer.join("all"))
        async with (
            serve(hub=hub) as server,
            connect(server.url()) as ann,
            connect(server.url()) as bob,
        ):
            await until(lambda: len(hub.room("all")) == 2)
            hub.room("all").send_json({"price": 1.5})
            hub.room("all").send_json({"price": 1.6}, keep=1)
            for connection in (ann, bob):
                assert await connection.recv_json() == {"price": 1.5}
                assert await connection.recv_json() == {"price": 1.6}
            with pytest.raises(TypeError):
                hub.room("all").send_json({1, 2})

    run(main())
