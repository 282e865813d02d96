"""Mini programs and pages: the API of the JavaScript, in portable Python that tools/es5 translates to it.

options.py makes the core's settings of a user's options. driver.py carries out what the core decides. What users
hold is in task.py for mini programs, with the links of socket_task.py, and in web_socket.py for pages. clock.py
and language.py are declared for portable code and written once for each language: their JavaScript and the
entries are in handwritten/. The built scripts, which `websocket-heartbeat js` copies, lie in javascript/.
"""

from websocket_heartbeat.miniprogram.heartbeat import WebsocketHeartbeat
from websocket_heartbeat.miniprogram.task import MiniProgramTask

__all__ = ["MiniProgramTask", "WebsocketHeartbeat"]
