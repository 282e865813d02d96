"""Mini programs and pages: the API of the JavaScript, in portable Python that is translated to it."""

from websocket_heartbeat.miniprogram.heartbeat import WebsocketHeartbeat
from websocket_heartbeat.miniprogram.task import MiniProgramTask

__all__ = ["MiniProgramTask", "WebsocketHeartbeat"]
