"""A login by messages that the server refuses: it answers and closes at once; the hook reads the answer."""

from typing import Any

import pytest
from tests.watch import Run

from websocket_heartbeat import ConnectionFailed, HookFailed, Message, OpenEvent, connect
from websocket_heartbeat.server import Hub, Peer, serve


def closes(peer: Peer) -> None:
    peer.close(4401, "bad token")


def dismisses(peer: Peer) -> None:
    peer.dismiss("bad token")


@pytest.mark.parametrize("end", [closes, dismisses])
@pytest.mark.parametrize("session", ["off", "require"])
@pytest.mark.parametrize("engine", ["websockets", "aiohttp"])
def test_the_hook_reads_the_answer_and_its_error_is_why_the_connection_ends(
    run_asyncio: Run, engine: str, session: Any, end: Any
) -> None:
    taken: list[object] = []
    asked: list[Exception] = []

    def refuse(peer: Peer, message: Message) -> None:
        peer.send_json({"ok": False})
        end(peer)

    def retry_if(error: Exception) -> bool:
        asked.append(error)
        return not isinstance(error, PermissionError)

    async def main() -> None:
        hub = Hub(sessions="memory")
        async with serve(refuse, hub=hub) as server:
            connection = connect(server.url(), engine=engine, session=session, retry_if=retry_if)

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                await connection.send_json({"op": "login", "token": "wrong"})
                taken.append(await connection.recv_json())
                raise PermissionError("the login was refused")

            async with connection:
                with pytest.raises(ConnectionFailed, match="on_open raised PermissionError") as failure:
                    await connection.recv()
            assert isinstance(failure.value.__cause__, HookFailed)
            assert taken == [{"ok": False}]
            assert [type(error) for error in asked] == [PermissionError]
        await hub.close()

    run_asyncio(main())
