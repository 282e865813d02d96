"""The processes of the workers, over all their lives."""

import asyncio
import signal
import sys
import time
from pathlib import Path


class Workers:
    """folder: where each life writes what it does. store: the URL of the store that they share."""

    def __init__(self, folder: Path, store: str) -> None:
        self._folder = folder
        self._store = store
        self._lives = 0
        self._processes: dict[int, tuple[str, asyncio.subprocess.Process]] = {}

    async def start(self, place: int) -> int:
        """Start a worker; return its port."""
        self._lives += 1
        life = f"{self._lives}"
        with (self._folder / "workers.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "examples.cluster.worker"),
                *(self._store, str(self._folder / f"worker-{place + 1}-life-{life}.txt"), life),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us alone
            )
        self._processes[place] = life, process
        assert process.stdout is not None
        port = await process.stdout.readline()
        if not port:
            raise OSError(f"a worker did not start: {self._folder / 'workers.log'} has the reason")
        return int(port)

    async def end(self, place: int, how: signal.Signals) -> None:
        """End a worker; return when it has ended."""
        life, process = self._processes.pop(place)
        if how is signal.SIGKILL:
            with (self._folder / "kills.txt").open("a") as kills:
                kills.write(f"{time.monotonic_ns()} {life}\n")
        process.send_signal(how)
        await process.wait()

    async def end_all(self) -> None:
        """End those that run."""
        await asyncio.gather(*(self.end(place, signal.SIGTERM) for place in list(self._processes)))
