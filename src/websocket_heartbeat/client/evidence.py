"""Says which side died when a link fell silent, with the evidence, so that a person can act on it."""

from websocket_heartbeat.system.kernel import TcpInfo

_BLOCKED = 0.2
"""Seconds by which a deadline must have been missed to be worth telling: less is a busy machine."""


def of_silence(silent_for: float, pinged_for: float, info: TcpInfo | None, blocked_for: float) -> str:
    """Describe the silence of a link that is given up.

    silent_for: seconds since anything was heard. pinged_for: seconds since our ping. info: what the kernel
    knows of the socket, where it tells. blocked_for: seconds by which our own event loop missed a deadline
    meanwhile.
    """
    words = f"nothing heard for {silent_for:.1f} s"
    if info is not None and info.unacked:
        # The last acknowledgement may be of long before the ping, on a link that was idle.
        words += (
            f", and what we sent is unacknowledged for {min(pinged_for, info.since_ack):.1f} s "
            f"after {info.retransmits} timeouts of TCP: the path is cut"
        )
    elif info is not None:
        words += ", though what we sent is acknowledged: the peer's application, or a proxy's, is silent"
    if blocked_for > _BLOCKED:
        words += f"; our own event loop was blocked for {blocked_for:.1f} s"
    return words
