"""A TCP proxy for tests that does to connections what networks do: freeze, delay, cut, reset."""

from websocket_heartbeat.testing.fault_proxy.log import LogEntry
from websocket_heartbeat.testing.fault_proxy.proxy import FaultProxy

__all__ = ["FaultProxy", "LogEntry"]
