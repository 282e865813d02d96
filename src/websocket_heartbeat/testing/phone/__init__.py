"""A simulated phone with the mini-program platforms on it, for the Python form of the mini-program API."""

from websocket_heartbeat.testing.phone.phone import Phone

phone = Phone()
"""The default phone, on which the hosts below run."""

wx = phone.wx
my = phone.my
swan = phone.swan
tt = phone.tt
qq = phone.qq
ks = phone.ks
jd = phone.jd
Taro = phone.Taro
uni = phone.uni

__all__ = ["Phone", "Taro", "jd", "ks", "my", "phone", "qq", "swan", "tt", "uni", "wx"]
