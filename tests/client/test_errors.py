"""Errors pass from process to process, as pools of workers send them."""

import copy
import pickle

import pytest

from websocket_heartbeat import errors

EVERY_KIND = [
    errors.WebSocketHeartbeatError("odd"),
    errors.ConnectionClosed("closed"),
    errors.ConnectionFailed("gave up", 1008),
    errors.NotConnected("none"),
    errors.SendQueueFull("full"),
    errors.HandshakeError("no upgrade"),
    errors.RedirectRefused("from wss to ws"),
    errors.HandshakeRejected(503, [("Retry-After", "5")], b"busy"),
    errors.ProxyFailed("refused"),
    errors.ProxyNotSupported("this engine cannot use it"),
    errors.ProtocolViolation(1002, "reserved bit"),
    errors.ServerClosed(1001, "restart"),
    errors.MessageTooBig(100),
    errors.HookFailed("on_open", ValueError("mine")),
    errors.Undelivered(["one", b"two"]),
    errors.Undelivered(["one"], uncertain=True),
    errors.NotJSON("{"),
    errors.LinkRejected("the login has ended"),
    errors.PeerGone(4000, "leaving"),
    errors.SessionNotOffered("the server offers no session"),
    errors.SessionOver("expired"),
    errors.SendUncertain("no answer"),
    errors.NotCommitted("undone"),
    errors.EngineNotInstalled("pip install it"),
]


def test_every_kind_is_here() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert {type(error) for error in EVERY_KIND} == kinds


@pytest.mark.parametrize("error", EVERY_KIND, ids=lambda error: type(error).__name__)
def test_an_error_stays_what_it_is_when_pickled_or_copied(error: Exception) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
        assert {**vars(error), "args": error.args} == {**vars(twin), "args": twin.args}
