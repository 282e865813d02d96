"""Tools to test code whose connections must survive: network faults and simulated time."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from websocket_heartbeat.testing.clock import DeadlockError as DeadlockError
    from websocket_heartbeat.testing.clock import SimulatedClock as SimulatedClock
    from websocket_heartbeat.testing.fault_proxy import FaultProxy as FaultProxy
    from websocket_heartbeat.testing.fault_proxy import LogEntry as LogEntry

_HOMES = {
    "DeadlockError": "websocket_heartbeat.testing.clock",
    "FaultProxy": "websocket_heartbeat.testing.fault_proxy",
    "LogEntry": "websocket_heartbeat.testing.fault_proxy",
    "SimulatedClock": "websocket_heartbeat.testing.clock",
}

__all__ = ["DeadlockError", "FaultProxy", "LogEntry", "SimulatedClock"]

if not TYPE_CHECKING:
    # Every pytest run of every user loads this package for its plugin: what is not used must cost nothing.
    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
