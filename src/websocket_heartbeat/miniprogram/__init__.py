"""Mini programs: the API of the JavaScript in Python, over simulated platforms; bundle.py compiles it."""

from websocket_heartbeat.miniprogram.heartbeat import WebsocketHeartbeat
from websocket_heartbeat.miniprogram.hosts import Phone
from websocket_heartbeat.miniprogram.task import MiniProgramTask

phone = Phone()
"""The phone in the developer's hand, on which the hosts below run."""

wx = phone.wx
my = phone.my
swan = phone.swan
tt = phone.tt
qq = phone.qq
ks = phone.ks
jd = phone.jd
Taro = phone.Taro
uni = phone.uni

__all__ = [
    "MiniProgramTask",
    "Phone",
    "Taro",
    "WebsocketHeartbeat",
    "jd",
    "ks",
    "my",
    "phone",
    "qq",
    "swan",
    "tt",
    "uni",
    "wx",
]
