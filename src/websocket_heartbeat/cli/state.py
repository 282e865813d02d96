"""Where commands keep files from one run to the next."""

import os
import sys
from pathlib import Path


def state_file(name: str) -> Path:
    """Return the path of such a file, by the XDG Base Directory Specification or beside Windows' data."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
        fallback = Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_STATE_HOME", "")
        fallback = Path.home() / ".local" / "state"
    return (Path(base) if os.path.isabs(base) else fallback) / "websocket-heartbeat" / name
