"""The command websocket-heartbeat."""
