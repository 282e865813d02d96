"""A TCP proxy that does to connections what networks do: freezes, delays, cuts, resets."""

from websocket_heartbeat.testing.fault_proxy.proxy import FaultProxy, LogEntry

__all__ = ["FaultProxy", "LogEntry"]
