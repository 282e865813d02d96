"""How users attach hooks: `@connection.on_open` or `connection.on_open = function`, with the same meaning."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload

from websocket_heartbeat.checks import check_hook

F = TypeVar("F", bound=Callable[..., Any])


class HasHooks(Protocol):
    """An object whose class has `Hook` attributes."""

    hooks: dict[str, Callable[..., Any]]

    def hook_changed(self, name: str) -> None:
        """Take note that the hook called `name` was set or removed."""


class Hook(Generic[F]):
    """One hook: a later function takes the place of an earlier one, None removes it.

    Read from an object it is a decorator that sets the hook and returns the function unchanged.
    """

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Hook[F]": ...

    @overload
    def __get__(self, instance: HasHooks, owner: type) -> Callable[[F], F]: ...

    def __get__(self, instance: HasHooks | None, owner: type) -> "Hook[F] | Callable[[F], F]":
        if instance is None:
            return self

        def decorator(function: F) -> F:
            self.__set__(instance, function)
            return function

        return decorator

    def __set__(self, instance: HasHooks, function: F | None) -> None:
        if function is None:
            instance.hooks.pop(self.name, None)
        else:
            instance.hooks[self.name] = check_hook(self.name, function)
        instance.hook_changed(self.name)
