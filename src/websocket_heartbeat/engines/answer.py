"""Reads the head of an HTTP answer, whatever its status: the libraries beneath refuse or hide some."""

MAX_HEAD = 16 * 1024
"""Bytes of status line and headers that are read before an answer counts as endless."""

BODY_EXCERPT = 1024
"""Bytes of the body of a rejection that are kept."""


def read_head(head: bytes) -> tuple[int, list[tuple[str, str]]] | None:
    """Return status and headers of an answer without its body; None if it is not HTTP/1."""
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (status.isascii() and status.isdecimal()):
        return None
    if len(status) < 3 or rest[3:4] not in ("", " "):
        return None
    pairs = (line.partition(":") for line in lines[1:])
    return int(status), [(name, value.strip()) for name, colon, value in pairs if colon]
