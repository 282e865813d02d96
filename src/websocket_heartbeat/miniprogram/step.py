"""What the driver carries out, one after the other."""

from typing import Any, Final

from websocket_heartbeat.core.machine import Action

# Kinds of steps that the core does not know: each is also the name of its hook.
ERROR: Final = "Error"
MESSAGE: Final = "Message"


class Step:
    """One action to carry out or one hook to call, in order.

    action: what the core decided; or of kind ERROR or MESSAGE. event: what the host reported, if anything.
    reason: why the link is gone, in words.
    """

    def __init__(self, action: Action, event: Any, reason: str) -> None:
        self.action = action
        self.event = event
        self.reason = reason
