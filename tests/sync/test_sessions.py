"""Sessions for blocking code."""

import asyncio

from tests.server.sessions.test_sessions import QUICK
from tests.watch import PATIENCE, Run

from websocket_heartbeat import sync
from websocket_heartbeat.events import SessionEvent
from websocket_heartbeat.server import Hub, serve


def test_a_session_carries_messages_across_links_for_blocking_code(run_asyncio: Run) -> None:
    def talk(url: str) -> None:
        events: list[SessionEvent] = []
        connection = sync.connect(url, session="require", backoff=QUICK)
        connection.on_session = events.append
        with connection:
            for number in range(100):
                connection.send(str(number))
                if number % 25 == 24:
                    connection.reconnect_now()
            connection.flush()
            assert [connection.recv(timeout=PATIENCE) for _ in range(100)] == [str(n) for n in range(100)]
        assert [event.kind for event in events][:2] == ["new", "resumed"]

    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with serve(hub=hub) as server:
            await asyncio.to_thread(talk, server.url())
            await hub.close()

    run_asyncio(main())
