"""The Python client: a connection that outlives its links."""

from websocket_heartbeat.client.connection import Connection, connect

__all__ = ["Connection", "connect"]
