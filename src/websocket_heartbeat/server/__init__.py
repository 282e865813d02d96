"""The back end's half of the agreement: answers heartbeats, drops dead peers, sends clients away politely."""

from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.links.listener import Server, serve
from websocket_heartbeat.server.peer import Peer

__all__ = ["Peer", "Refusal", "Request", "Server", "serve"]
