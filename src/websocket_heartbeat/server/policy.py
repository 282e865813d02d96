"""The options of a server that hold for every transport: hooks, the heartbeat, time-outs, the write limit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websocket_heartbeat.checks import check_count, check_hook, check_seconds
from websocket_heartbeat.config import Dialect


@dataclass(frozen=True, slots=True)
class Policy:
    """Those options, checked; `serve` documents each. What is left of its options goes to the listener."""

    on_message: Callable[..., Any]
    on_open: Callable[..., Any] | None
    on_close: Callable[..., Any] | None
    heartbeat: str | Dialect | None
    idle_timeout: float | None
    close_timeout: float
    write_limit: int
    open_timeout: float

    def __post_init__(self) -> None:
        for name, hook, arguments in (
            ("on_message", self.on_message, 2),
            ("on_open", self.on_open, 1),
            ("on_close", self.on_close, 3),
        ):
            if hook is not None:
                check_hook(name, hook, arguments)
        if self.heartbeat is not None and not isinstance(self.heartbeat, str | Dialect):
            raise TypeError(
                f"heartbeat must be a str, a Dialect or None, not {type(self.heartbeat).__name__}"
            )
        if isinstance(self.heartbeat, Dialect) and not self.heartbeat.is_for_servers:
            raise ValueError("heartbeat must say how clients are answered: give its Dialect a reply")
        if self.idle_timeout is not None:
            check_seconds("idle_timeout", self.idle_timeout)
        check_seconds("close_timeout", self.close_timeout, zero=True)
        check_count("write_limit", self.write_limit)
