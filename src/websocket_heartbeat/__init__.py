"""A WebSocket connection that outlives its sockets."""
