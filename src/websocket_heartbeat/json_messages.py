"""JSON messages: what values are as text, and what messages are as values."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Self

from websocket_heartbeat.errors import NotJSON
from websocket_heartbeat.events import Message

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(value: object) -> str:
    """Return a value as JSON, in few bytes.

    Raises:
        TypeError, ValueError: JSON has no such value; the text is that of the module `json`.
    """
    with suppress(RecursionError):
        return _encode(value)
    raise ValueError("it is nested too deeply")


def from_json(message: Message) -> Any:
    """Return what a message says in JSON.

    Raises:
        NotJSON: it is none.
    """
    try:
        return json.loads(message)
    except (ValueError, RecursionError):  # of bytes that are no text, and of brackets without end, too
        pass
    # Raised out here, it does not carry along an exception that shows the message.
    raise NotJSON(message)


class JsonMessages:
    """Yields what each message says in JSON. After one that says nothing, which raises, it goes on."""

    __slots__ = ("_messages",)

    def __init__(self, messages: AsyncIterator[Message]) -> None:
        self._messages = messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return from_json(await anext(self._messages))
