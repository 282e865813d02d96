"""The options of a server that hold for every handshake of its listener."""

import ssl as ssl_module
from collections.abc import Sequence
from dataclasses import dataclass

from websocket_heartbeat.checks import (
    check_collection,
    check_count,
    check_ssl,
    check_timeout,
    check_token,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """Those options, checked; `serve` documents each."""

    open_timeout: float
    max_size: int
    compression: bool
    subprotocols: Sequence[str]
    ssl: ssl_module.SSLContext | None
    max_handshakes: int

    def __post_init__(self) -> None:
        check_timeout("open_timeout", self.open_timeout)
        check_count("max_size", self.max_size, least=1)
        if not isinstance(self.compression, bool):
            raise TypeError(f"compression must be True or False, not {self.compression!r}")
        names = check_collection("subprotocols", self.subprotocols)
        for index, name in enumerate(names):
            check_token(f"subprotocols[{index}]", name)
        object.__setattr__(self, "subprotocols", names)  # what it gave may be given once only
        hint = "make one by ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)"
        check_ssl("ssl", self.ssl, hint, ssl_module.PROTOCOL_TLS_CLIENT)
        check_count("max_handshakes", self.max_handshakes, least=1)
