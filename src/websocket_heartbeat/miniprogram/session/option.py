"""What the option `session` takes: that messages are carried across links, and how."""

from typing import TYPE_CHECKING, Any

from websocket_heartbeat.miniprogram.language import is_same, read
from websocket_heartbeat.miniprogram.session.connection_session import ConnectionSession

if TYPE_CHECKING:
    from websocket_heartbeat.miniprogram.driver import Driver


class Session:
    """A wish for sessions; several connections may share it.

    mode: "prefer": where the server has sessions; "require": a server without is an error.
    options: binary: false where the host has no binary frames; bytes then travel as base64.
    """

    def __init__(self, mode: Any, options: Any = None) -> None:
        if not (is_same(mode, "prefer") or is_same(mode, "require")):
            raise ValueError('the mode of a session must be "prefer" or "require"')
        self.mode = mode
        self.has_binary = not is_same(read(options, "binary"), False)

    def begin(self, owner: "Driver") -> ConnectionSession:
        """The session of one connection."""
        return ConnectionSession(owner, is_same(self.mode, "require"), self.has_binary)
