"""`Peer.state`: what an application keeps of one client, as JSON."""

import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Never

MOST = 64 * 1024
"""Bytes of all of it, as JSON."""


class PeerState(MutableMapping[str, Any]):
    """A mapping of str to JSON. What is in it cannot be changed in place, as nobody would notice that.

    saved: what `encoded` has returned before, b"" at first. changed: called after each change.
    """

    __slots__ = ("_changed", "_size", "_texts", "_values")

    def __init__(self, saved: bytes, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}  # each with its key, as they are written
        self._size = 0
        for key, value in json.loads(saved or b"{}").items():
            self._put(key, _text_of(key, value), value)

    def __repr__(self) -> str:
        return f"<the state of a peer: {len(self)} keys>"

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Keep a value, as JSON carries it: a tuple becomes a list.

        Raises:
            TypeError, ValueError: it is no JSON, the key is no str, or all of it would be more than 64 KiB.
                The value from before stays.
        """
        if not isinstance(key, str):
            raise TypeError(f"a key of peer.state must be a str, not {type(key).__name__}")
        text = _text_of(key, value)
        size = self._size - len(self._texts.get(key, "")) + len(text)
        if size > MOST:
            raise ValueError(f"peer.state[{key!r:.60}] would make the state {size} bytes, above {MOST}")
        self._put(key, text, json.loads(f"{{{text}}}")[key])
        self._changed()

    def _put(self, key: str, text: str, value: Any) -> None:
        self._size += len(text) - len(self._texts.get(key, ""))
        self._texts[key] = text
        self._values[key] = _fixed(value)

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._size -= len(self._texts.pop(key))
        self._changed()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, which is kept first where there is none."""
        if key not in self._values:
            self[key] = default
        return self._values[key]

    def restore(self, saved: bytes) -> None:
        """Be as it was when `encoded` has returned that; nobody is told."""
        self._values.clear()
        self._texts.clear()
        self._size = 0
        for key, value in json.loads(saved).items():
            self._put(key, _text_of(key, value), value)

    def encoded(self) -> bytes:
        """Return all of it as JSON."""
        return f"{{{','.join(self._texts.values())}}}".encode()


def _text_of(key: str, value: Any) -> str:
    problem = None
    try:
        return f"{json.dumps(key)}:{json.dumps(value, allow_nan=False, separators=(',', ':'))}"
    except (TypeError, ValueError) as error:
        problem = type(error), str(error)
    except RecursionError:
        problem = ValueError, "it is nested too deeply"
    kind, why = problem  # raised out here, it carries no traceback that holds the value
    raise kind(f"peer.state[{key!r:.60}] must be JSON: {why}")


def _fixed(value: Any) -> Any:
    """Return JSON that cannot be changed."""
    if isinstance(value, dict):
        return _FixedDict({key: _fixed(each) for key, each in value.items()})
    return _FixedList(map(_fixed, value)) if isinstance(value, list) else value


def _refuse(self: object, *args: object, **options: object) -> Never:
    raise TypeError(
        "what is in peer.state cannot be changed in place: change a copy, by copy.deepcopy, and assign it"
    )


class _FixedDict(dict[str, Any]):
    """A dict that says so when it is to be changed. A copy of it is a plain one."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class _FixedList(list[Any]):
    """A list that says so when it is to be changed. A copy of it is a plain one."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return list, (list(self),)
