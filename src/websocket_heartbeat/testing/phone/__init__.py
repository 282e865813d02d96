"""A simulated phone with the mini-program platforms on it, for the Python form of the mini-program API."""

from websocket_heartbeat.testing.phone.host import Host
from websocket_heartbeat.testing.phone.phone import Phone

phone: Phone = Phone()
"""The default phone, on which the hosts below run."""

wx: Host = phone.wx
my: Host = phone.my
swan: Host = phone.swan
tt: Host = phone.tt
qq: Host = phone.qq
ks: Host = phone.ks
jd: Host = phone.jd
Taro: Host = phone.Taro
uni: Host = phone.uni

__all__ = ["Phone", "Taro", "jd", "ks", "my", "phone", "qq", "swan", "tt", "uni", "wx"]
