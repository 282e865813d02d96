"""A TCP proxy for tests that does to connections what networks do: freezes, delays, cuts, resets."""

from websocket_heartbeat.testing.fault_proxy.log import LogEntry
from websocket_heartbeat.testing.fault_proxy.proxy import FaultProxy

__all__ = ["FaultProxy", "LogEntry"]
