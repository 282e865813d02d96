"""What the driver carries out, one after the other."""

from typing import Any, Final

from websocket_heartbeat.core.machine import Action

# Kinds of steps that the core does not know: each is also the name of its hook.
ERROR: Final = "Error"
MESSAGE: Final = "Message"
SESSION: Final = "Session"


class Step:
    """One action to carry out or one hook to call, in order.

    action: what the core decided; or of kind ERROR, MESSAGE or SESSION. event: what the host reported, if
    anything. reason: why the link is gone, in words.
    handled: of a message of a session: what to call when the user has done with it.
    """

    def __init__(self, action: Action, event: Any, reason: str) -> None:
        self.action = action
        self.event = event
        self.reason = reason
        self.handled: Any = None
