"""What the option `session` takes: that messages are carried across links, and how."""

from typing import TYPE_CHECKING, Any

from websocket_heartbeat.miniprogram.language import is_same, read
from websocket_heartbeat.miniprogram.session.connection_session import ConnectionSession

if TYPE_CHECKING:
    from websocket_heartbeat.miniprogram.driver import Driver


class Session:
    """A wish for sessions; several connections may share one without a snapshot.

    mode: "prefer": where the server has sessions; "require": a server without is an error.
    options: binary: false where the host has no binary frames; bytes then travel as base64.
    snapshot: where a process leaves its session to the next one, if the host kills it: `save` is called with
    a text that it stores at once, "" for nothing, and `load` returns what was stored. It holds messages and
    the key of the session.
    """

    def __init__(self, mode: Any, options: Any = None) -> None:
        if not (is_same(mode, "prefer") or is_same(mode, "require")):
            raise ValueError('the mode of a session must be "prefer" or "require"')
        self.mode = mode
        self.place: Any = read(options, "snapshot")
        has_both = callable(read(self.place, "save")) and callable(read(self.place, "load"))
        if self.place is not None and not has_both:
            raise ValueError("the snapshot of a session must have the functions save and load")
        self.has_binary: bool = not is_same(read(options, "binary"), False)

    def begin(self, owner: "Driver") -> ConnectionSession:
        """The session of one connection."""
        return ConnectionSession(owner, is_same(self.mode, "require"), self.has_binary, self.place)
