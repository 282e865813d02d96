"""JSON in blocking code."""

import pytest
from tests.sync.conftest import EchoServer
from tests.watch import PATIENCE

from websocket_heartbeat import NotJSON
from websocket_heartbeat.sync import connect


def test_values_go_out_and_come_in(server: EchoServer) -> None:
    with connect(server.url) as connection:
        connection.send_json({"op": "login"}, timeout=PATIENCE)
        assert connection.recv_json(timeout=PATIENCE) == {"op": "login"}
        values = connection.json()
        for message in ("[1]", "none", "[2]"):
            connection.send(message)
        assert next(values) == [1]
        with pytest.raises(NotJSON):
            next(values)
        assert next(values) == [2]
        connection.close()
        assert list(connection.json()) == []


def test_who_waits_for_a_value_may_give_up(server: EchoServer) -> None:
    with connect(server.url) as connection, pytest.raises(TimeoutError):
        connection.recv_json(timeout=0.01)
