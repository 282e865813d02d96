"""A WebSocket server that answers heartbeats, drops dead peers and spreads reconnects over time."""

from websocket_heartbeat.errors import NotCommitted, PeerGone, SendUncertain, SessionOver
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.dashboard import DashboardServer, serve_dashboard
from websocket_heartbeat.server.hub import Hub
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.rooms import Room
from websocket_heartbeat.server.serving import Server, serve
from websocket_heartbeat.server.stats import HubStats

__all__ = [
    "DashboardServer",
    "Hub",
    "HubStats",
    "NotCommitted",
    "Peer",
    "PeerGone",
    "Refusal",
    "Request",
    "Room",
    "SendUncertain",
    "Server",
    "SessionOver",
    "serve",
    "serve_dashboard",
]
