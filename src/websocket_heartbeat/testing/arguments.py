"""Refuses bad arguments with errors that name the argument and its value."""

import math


def at_least(name: str, value: float, least: float) -> None:
    """Raise TypeError unless `value` is a number, ValueError unless it is finite and at least `least`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not least <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least {least:g}, not {value!r}")


def whole(name: str, value: int, least: int) -> None:
    """Raise TypeError unless `value` is an int, ValueError unless it is at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    at_least(name, value, least)
