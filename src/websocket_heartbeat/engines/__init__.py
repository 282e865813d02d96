"""What speaks RFC 6455 for client and server, behind the interface of base.py; loads engines by name."""

from importlib import import_module

from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.errors import EngineNotInstalled

__all__ = ["NAMES", "Engine"]

NAMES = ("websockets", "aiohttp")
"""The engines that `engine=` accepts by name. "auto" is the first, which needs nothing more."""


def load(engine: str | Engine) -> Engine:
    """Return the engine of that name, importing what it needs only now; an Engine is returned as it is.

    Raises:
        EngineNotInstalled: its package is missing; the text names the install command.
        ValueError: there is no engine of that name.
    """
    if isinstance(engine, Engine):
        return engine
    if engine == "auto":
        engine = NAMES[0]
    if engine in NAMES:
        return _imported(engine)
    known = ", ".join(repr(name) for name in ("auto", *NAMES))
    raise ValueError(f"engine must be one of {known}, or an Engine, not {engine!r}")


def _imported(name: str) -> Engine:
    try:
        module = import_module(f"websocket_heartbeat.engines.{name}")
    except ImportError as error:
        raise EngineNotInstalled(
            f"engine {name!r} needs a package that is missing or too old: "
            f"pip install 'websocket-heartbeat[{name}]'"
        ) from error
    made: Engine = getattr(module, f"{name.capitalize()}Engine")()
    return made
