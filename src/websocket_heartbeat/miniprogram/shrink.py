"""Minifies what bundle.py has compiled: short names for members that nobody else uses, and no spaces."""

import re
from collections import Counter
from collections.abc import Sequence


def shorten(script: str, prefixes: Sequence[str]) -> str:
    """Give one-letter names to properties; those of one kind of object begin with one of `prefixes`."""
    names: dict[str, str] = {}
    for prefix in prefixes:
        members = Counter(re.findall(rf"(?<=\.){prefix}\w+|\b{prefix}\w+(?=:)", script))
        names |= zip((member for member, _ in members.most_common()), "abcdefghijklmnop", strict=False)
    return re.sub(r"(?<=\.)\w+|\w+(?=:)", lambda match: names.get(match[0], match[0]), script)


def minified(script: str) -> str:
    """Return the script without what only people need, as ES5."""
    try:
        import minify
    except ImportError as error:
        raise ModuleNotFoundError(
            "minifying needs tdewolff-minify: pip install 'websocket-heartbeat[js]'", name="minify"
        ) from error
    minify.config({"js-version": 5})
    return str(minify.string("application/javascript", script))
