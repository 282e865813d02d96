"""Mini programs and pages: the API of the JavaScript, in portable Python that tools/es5 translates to it.

options.py makes the core's settings of a user's options. driver.py carries out what the core decides. task.py
is what users hold in mini programs, over the links of socket_task.py; web_socket.py is both for pages.

clock.py and language.py are declared for portable code and written for each language: handwritten/ has their
JavaScript, and the entries. The built scripts, which `websocket-heartbeat js` copies, lie in javascript/.
"""

from websocket_heartbeat.miniprogram.heartbeat import WebsocketHeartbeat
from websocket_heartbeat.miniprogram.task import MiniProgramTask

__all__ = ["MiniProgramTask", "WebsocketHeartbeat"]
