"""Who passes `connect` an argument of another library is told what it is here."""

import inspect
from typing import Any

import pytest

import websocket_heartbeat
from websocket_heartbeat import sync
from websocket_heartbeat.elsewhere import INSTEAD


@pytest.mark.parametrize("connect", [websocket_heartbeat.connect, sync.connect])
@pytest.mark.parametrize("name", INSTEAD)
def test_it_is_told_what_to_use(connect: Any, name: str) -> None:
    assert name not in inspect.signature(connect).parameters
    with pytest.raises(TypeError, match=f"^connect has no argument {name}: "):
        connect("ws://example.com/", **{name: "secret"})


@pytest.mark.parametrize("connect", [websocket_heartbeat.connect, sync.connect])
def test_what_nobody_has_is_unexpected(connect: Any) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'nonsense'"):
        connect("ws://example.com/", nonsense=1)
