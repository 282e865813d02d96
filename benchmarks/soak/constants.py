"""Constants of both processes of a soak."""

from websocket_heartbeat import Heartbeat

HEARTBEAT = Heartbeat(2, 3)
BOUND = HEARTBEAT.interval + HEARTBEAT.timeout
CLOSE_TIMEOUT = 2.0
SITES = 20
"""Proxies, each with a server behind it: the connections of a site meet the same faults."""
