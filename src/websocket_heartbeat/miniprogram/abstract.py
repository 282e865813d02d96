"""What the driver leaves to its subclasses."""

from typing import Any

from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.link import Link


class Abstract:
    """The methods that the driver calls, and does not have.

    clock: time and timers. opts: the options, defaults included.
    """

    def __init__(self, clock: Clock, opts: dict[str, Any]) -> None:
        self.clock = clock
        self.opts = opts

    # In connection.py: what the user may ask

    def createWebSocket(self) -> None:
        """Begin the attempt that is due."""
        raise NotImplementedError("createWebSocket")

    def heartCheck(self) -> None:
        """Count the silence until the next heartbeat from now on."""
        raise NotImplementedError("heartCheck")

    def stop(self, params: Any) -> None:
        """Close for good."""
        raise NotImplementedError("stop")

    def forget_renewal(self) -> None:
        """Drop a renewal that waits for its turn."""
        raise NotImplementedError("forget_renewal")

    def has_ended(self) -> bool:
        """Whether the connection has ended, and the user has not asked for another."""
        raise NotImplementedError("has_ended")

    # In task.py or web_socket.py: what the host can do

    def dial(self, number: int) -> Link:
        """Make the link of that number."""
        raise NotImplementedError("dial")

    def expose(self, socket: Any) -> None:
        """Let the user have the host's own socket of a link."""
        raise NotImplementedError("expose")

    def listen(self) -> None:
        """Listen to the host's own socket of the latest link, by a method that the user may have replaced."""
        raise NotImplementedError("listen")

    def hook(self, name: str, event: Any) -> Any:
        """Call the user's hook, and return what it returns."""
        raise NotImplementedError("hook")

    def with_data(self, event: Any, data: Any) -> Any:
        """An event of a message, as a link has it, with other data."""
        raise NotImplementedError("with_data")

    def watch(self) -> None:
        """Listen to the host: foreground, background, network."""
        raise NotImplementedError("watch")

    def unwatch(self) -> None:
        """Stop listening to the host."""
        raise NotImplementedError("unwatch")
