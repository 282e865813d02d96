"""The libraries beneath the client that speak RFC 6455, each behind the interface of base.py."""

from websocket_heartbeat.engines.base import Engine

NAMES = ("picows",)
"""The engines that `engine=` accepts by name."""


def load(engine: str | Engine) -> Engine:
    """Return the engine of that name, importing what it needs only now; an Engine is returned as it is.

    "auto" takes the first of NAMES that is installed.
    """
    if isinstance(engine, Engine):
        return engine
    if engine in ("auto", "picows"):
        from websocket_heartbeat.engines.picows import PicowsEngine

        return PicowsEngine()
    known = ", ".join(repr(name) for name in ("auto", *NAMES))
    raise ValueError(f"engine must be one of {known}, or an Engine, not {engine!r}")
