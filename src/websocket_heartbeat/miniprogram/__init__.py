"""Mini programs and pages: the API of the JavaScript, in portable Python that tools/es5 translates to it.

options.py turns a user's options into the core's settings. driver.py carries out what the core decides, and
connection.py has the methods that users call. What a connection needs besides has owners: outbox.py (what is
to be sent), dialogue.py (a login in onOpen), heart.py (heartbeats), advice.py (warnings), alarm.py (the
timer). task.py is what users hold in mini programs, over socket_task.py; web_socket.py is both for pages.
session/ carries messages across links; in JavaScript it is a script of its own.

clock.py and language.py are declared for portable code and written for each language: handwritten/ has their
JavaScript, and the entry points. The built scripts that `websocket-heartbeat js` copies are in javascript/.
"""

from websocket_heartbeat.miniprogram.heartbeat import WebsocketHeartbeat
from websocket_heartbeat.miniprogram.session import Session
from websocket_heartbeat.miniprogram.task import MiniProgramTask

__all__ = ["MiniProgramTask", "Session", "WebsocketHeartbeat"]
