"""Names of the development versions work for one version more, with a warning that says the new ones."""

import pytest
from tests.watch import Run

from websocket_heartbeat import Connection, ConnectionFailed, ReconnectEvent, connect, sync
from websocket_heartbeat.server import Hub, Peer

REFUSED = "ws://127.0.0.1:1/"
"""Nobody listens there."""


def test_max_attempts_of_connect_is_max_retries(run_asyncio: Run) -> None:
    async def main() -> None:
        with pytest.warns(DeprecationWarning, match="max_attempts is max_retries now") as warned:
            connection = connect(REFUSED, max_attempts=0)  # type: ignore[call-arg]
        assert warned[0].filename == __file__
        assert isinstance(connection, Connection)
        async with connection:
            with pytest.raises(ConnectionFailed):
                await connection.wait_open(20)

    run_asyncio(main())


def test_max_attempts_of_blocking_code_is_max_retries() -> None:
    with pytest.warns(DeprecationWarning, match="max_attempts is max_retries now"):
        connection = sync.connect(REFUSED, max_attempts=0)  # type: ignore[call-arg]
    with connection, pytest.raises(ConnectionFailed):
        connection.wait_open(20)


def test_an_argument_by_both_names_is_refused() -> None:
    with pytest.raises(
        TypeError, match="max_attempts is the old name of max_retries: give max_retries alone"
    ):
        connect(REFUSED, max_attempts=0, max_retries=0)  # type: ignore[call-arg]


def test_ttl_and_on_end_of_a_hub_are_of_its_sessions(run_asyncio: Run) -> None:
    def over(peer: Peer) -> None: ...

    with (
        pytest.warns(DeprecationWarning, match="ttl is session_ttl now"),
        pytest.raises(ValueError, match="session_ttl"),
    ):
        Hub(sessions="memory", ttl=-1)  # type: ignore[call-arg]
    with (
        pytest.warns(DeprecationWarning, match="on_end is on_session_end now"),
        pytest.raises(TypeError, match="on_session_end"),
    ):
        Hub(sessions="memory", on_end=over)  # type: ignore[call-arg]


def test_attempt_of_a_reconnect_event_is_retry() -> None:
    with pytest.warns(DeprecationWarning, match="attempt is retry now"):
        assert ReconnectEvent(3, 1.0, "refused").attempt == 3
