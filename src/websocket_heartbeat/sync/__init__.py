"""The same connection for blocking code: calls the asyncio one on the loop of a background thread.

All connections of the process share one background thread. It starts with the first connection and ends with
the last one; what is still open when the interpreter exits is closed then. After a fork the child has no
background thread: connections made before the fork cannot be used there, new ones can.
"""

from websocket_heartbeat.sync.connection import Connection, connect

__all__ = ["Connection", "connect"]
