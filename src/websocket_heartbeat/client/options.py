"""All options of one connection, as `connect` was given them, checked."""

import os
import ssl as ssl_module
from collections.abc import Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

from websocket_heartbeat.checks import (
    LONGEST_TIMEOUT,
    check_address,
    check_collection,
    check_count,
    check_function,
    check_header_value,
    check_host,
    check_message,
    check_name,
    check_request_headers,
    check_seconds,
    check_ssl,
    check_timeout,
    check_token,
    check_unix_path,
    check_url,
)
from websocket_heartbeat.client.log import logger
from websocket_heartbeat.config import (
    Backoff,
    Dialect,
    Headers,
    Heartbeat,
    Provider,
    Session,
    dialect_of,
)
from websocket_heartbeat.core.close_codes import FinalCodes
from websocket_heartbeat.core.settings import Settings
from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.redaction import shown_url
from websocket_heartbeat.system.callbacks import path_to_show
from websocket_heartbeat.version import __version__

USER_AGENT = f"websocket-heartbeat/{__version__}"


@dataclass(frozen=True, slots=True, repr=False)
class Options:
    """All options of one connection, checked; `connect` documents each."""

    url: Provider[str]
    _: KW_ONLY
    additional_headers: Provider[Headers | None]
    user_agent_header: str | None
    subprotocols: Sequence[str]
    heartbeat: Heartbeat
    message_timeout: float | None
    backoff: Backoff
    open_timeout: float
    close_timeout: float
    max_retries: int | None
    send_queue: int
    send_queue_bytes: int
    receive_queue: int
    receive_queue_bytes: int
    receive_policy: Literal["pause", "drop_oldest", "latest"]
    max_size: int
    compression: bool
    ssl: ssl_module.SSLContext | None
    proxy: str | Literal[True] | None
    unix_path: str | os.PathLike[str] | None
    local_addr: tuple[str, int] | None
    server_hostname: str | None
    engine: Engine
    shown_path: Callable[[str], str] | None
    final_close_codes: Collection[int | range]
    dismissal: str | None
    session: Session
    retry_if: Callable[[Exception], bool | None] | None
    name: str | None

    def __post_init__(self) -> None:
        if not callable(self.url):
            check_url("url", self.url, ("ws", "wss"))
        # Kept as checked: an iterator would be empty at the first attempt, and later changes unchecked.
        if self.additional_headers is not None and not callable(self.additional_headers):
            checked = check_request_headers("additional_headers", self.additional_headers)
            self._keep("additional_headers", checked)
        if self.user_agent_header is not None:
            check_header_value("user_agent_header", self.user_agent_header)
        self._keep("subprotocols", check_collection("subprotocols", self.subprotocols))
        for index, name in enumerate(self.subprotocols):
            check_token(f"subprotocols[{index}]", name, may_be_secret=True)  # as tokens are sent in these
        if self.name is not None:
            check_name("name", self.name)
        if self.shown_path is not None:
            check_function("shown_path", self.shown_path, 1)
        self._keep("final_close_codes", check_collection("final_close_codes", self.final_close_codes))
        for index, codes in enumerate(self.final_close_codes):
            if not isinstance(codes, range):
                check_count(f"final_close_codes[{index}]", codes)
            elif codes.step != 1 or not codes or codes.start < 0:
                raise ValueError(f"final_close_codes[{index}] must be a range of close codes, not {codes!r}")
        typed: list[tuple[str, Any, type, str]] = [
            ("heartbeat", self.heartbeat, Heartbeat, _hint_of_heartbeat(self.heartbeat)),
            ("backoff", self.backoff, Backoff, ""),
        ]
        for name, value, kind, hint in typed:
            if not isinstance(value, kind):
                raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}{hint}")
        if self.message_timeout is not None:
            check_seconds("message_timeout", self.message_timeout)
        check_timeout("open_timeout", self.open_timeout)
        check_timeout("close_timeout", self.close_timeout, zero=True)
        if self.max_retries is not None:
            check_count("max_retries", self.max_retries)
        check_count("send_queue", self.send_queue)
        check_count("send_queue_bytes", self.send_queue_bytes, least=1)
        check_count("receive_queue", self.receive_queue, least=1)
        check_count("receive_queue_bytes", self.receive_queue_bytes, least=1)
        if self.receive_policy not in ("pause", "drop_oldest", "latest"):
            raise ValueError(
                f"receive_policy must be 'pause', 'drop_oldest' or 'latest', not {self.receive_policy!r}"
            )
        check_count("max_size", self.max_size, least=1)
        if not isinstance(self.compression, bool):
            raise TypeError(f"compression must be True or False, not {self.compression!r}")
        hint = "wss:// in the URL is what asks for TLS, and ssl.create_default_context() makes one"
        check_ssl("ssl", self.ssl, hint, ssl_module.PROTOCOL_TLS_SERVER)
        if self.proxy is not None and self.proxy is not True:
            check_url("proxy", self.proxy, ("http", "https", "socks4", "socks5"))
        self._check_address()
        for name in ("compression", "unix_path", "local_addr", "server_hostname"):
            value = getattr(self, name)
            if value and name not in self.engine.supports:
                raise ValueError(f"{name} cannot be used with engine {self.engine.name!r}: it is {value!r}")
        if self.retry_if is not None:
            check_function("retry_if", self.retry_if, 1)
        dialect = dialect_of(self.heartbeat)
        name = "Heartbeat.message" if dialect is None else "Dialect.ping"
        message = self.heartbeat.message if dialect is None else dialect.ping
        if message is not None and not callable(message):
            check_message(name, message, self.max_size)
        if self.dismissal is not None:
            self._check_dismissal()
        if self.session.mode != "off" and self.receive_policy != "pause":
            raise ValueError("session and receive_policy exclude each other: a session loses nothing")

    def _check_dismissal(self) -> None:
        if not isinstance(self.dismissal, str):
            raise TypeError(f"dismissal must be a str or None, not {type(self.dismissal).__name__}")
        self._keep("dismissal", check_message("dismissal", self.dismissal, self.max_size))
        dialect = dialect_of(self.heartbeat)
        heartbeats = (self.heartbeat.message,) if dialect is None else (dialect.ping, dialect.pong)
        if any(type(each) is str and each == self.dismissal for each in heartbeats):
            raise ValueError("dismissal must differ from the heartbeat, which servers send back")

    def _check_address(self) -> None:
        """Check where connections are to lead to and come from."""
        if self.unix_path is not None:
            check_unix_path("unix_path", self.unix_path)
            for name, is_given in (
                ("proxy", self.proxy is not None and self.proxy is not True),
                ("local_addr", self.local_addr is not None),
            ):
                if is_given:
                    raise ValueError(f"{name} cannot be used with unix_path={self.unix_path!r}")
        if self.local_addr is not None:
            self._keep("local_addr", check_address("local_addr", self.local_addr))
        if self.server_hostname is not None:
            check_host("server_hostname", self.server_hostname)
            if isinstance(self.url, str) and not self.url.lower().startswith("wss:"):
                raise ValueError(
                    f"server_hostname={self.server_hostname!r} cannot be used with a url of scheme ws: no TLS"
                )

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def shown(self, url: str) -> str:
        """Return what logs and reprs show of a URL."""
        if self.shown_path is None:
            return shown_url(url)
        return shown_url(url, path_to_show(logger.error, self.shown_path, urlsplit(url).path))

    def granularity(self) -> float:
        """Return the seconds by which deadlines may be late: 1 % of the heartbeat, at most 0.1."""
        return min(0.1, self.heartbeat.interval / 100, self.heartbeat.timeout / 100)

    def settings(self) -> Settings:
        """Return the numbers for the core."""
        return _settings(
            self.heartbeat.interval,
            self.heartbeat.timeout,
            self.message_timeout,
            self.backoff,
            self.open_timeout,
            self.close_timeout,
            self.max_retries,
            tuple(self.final_close_codes),
        )


def _hint_of_heartbeat(heartbeat: object) -> str:
    """Say what to write in place of what other libraries take."""
    if heartbeat is None or heartbeat is False:
        return f"; with Heartbeat(interval={LONGEST_TIMEOUT}) a quiet link is pinged once an hour"
    if isinstance(heartbeat, int | float) and not isinstance(heartbeat, bool):
        return f"; write Heartbeat(interval={heartbeat!r})"
    if isinstance(heartbeat, str | bytes | Dialect):
        return "; write Heartbeat(message=...)"
    return ""


@lru_cache(16)  # thousands of connections share few settings
def _settings(
    interval: float,
    timeout: float,
    message_timeout: float | None,
    backoff: Backoff,
    open_timeout: float,
    close_timeout: float,
    max_retries: int | None,
    final_close_codes: tuple[int | range, ...],
) -> Settings:
    final_codes = None
    for codes in final_close_codes:
        first, last = (codes[0], codes[-1]) if isinstance(codes, range) else (codes, codes)
        final_codes = FinalCodes(first, last, final_codes)
    return Settings(
        interval=interval,
        timeout=timeout,
        both_directions=True,
        message_timeout=message_timeout,
        initial=backoff.initial,
        maximum=backoff.maximum,
        hold=0,
        stable_after=backoff.stable_after,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        max_retries=max_retries,
        final_codes=final_codes,
    )
