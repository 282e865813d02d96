"""The back end's half of the agreement: answers heartbeats, drops dead peers, sends clients away politely."""

from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.serving import Server, serve

__all__ = ["Peer", "Refusal", "Request", "Server", "serve"]
