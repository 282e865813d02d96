"""What the arguments of other libraries are here: `connect` says it of those that it does not have."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

_PINGS = "a quiet link is pinged without it; heartbeat=Heartbeat(interval, timeout) says how, in seconds"
_HEADERS = "use additional_headers={...}"

INSTEAD = {
    # websockets
    "extra_headers": _HEADERS,
    "max_queue": "use receive_queue=, receive_queue_bytes= and receive_policy=",
    "origin": 'use additional_headers={"Origin": ...}',
    "ping_interval": _PINGS,
    "ping_timeout": _PINGS,
    "process_exception": "use retry_if=",
    # websocket-client
    "cookie": 'use additional_headers={"Cookie": ...}',
    "header": _HEADERS,
    "http_proxy_host": 'use proxy="http://user:password@host:port"',
    "reconnect": "it reconnects without it; backoff=Backoff(initial, maximum) says when, in seconds",
    "sslopt": "use ssl=, an ssl.SSLContext",
    # aiohttp
    "compress": "use compression=True",
    "headers": _HEADERS,
    "max_msg_size": "use max_size=",
    "protocols": "use subprotocols=",
    "receive_timeout": "use message_timeout=",
    "timeout": "use open_timeout= and close_timeout=",
}


def explained(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function that takes none of INSTEAD say what to use, where it is called with one of them.

    Raises, when the function is called:
        TypeError: it was called so.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for name in kwargs:
            if name in INSTEAD:
                raise TypeError(f"{function.__name__} has no argument {name}: {INSTEAD[name]}")
        return function(*args, **kwargs)

    return call
