"""A plain TCP balancer, as any load balancer does it: each connection to the next worker that accepts it.

It knows nothing of WebSockets, sessions and clients, so a client that comes back comes to any worker.
"""

import asyncio
from contextlib import suppress
from typing import Self

_READ = 64 * 1024


class Balancer:
    """Listens on a port of its own. workers: their ports; change one when its worker is started again."""

    def __init__(self, workers: list[int]) -> None:
        self.workers = workers
        self._turn = 0
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1000)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()
        if self._carrying:
            await asyncio.wait(self._carrying)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the bytes of one connection until both ends have closed it, or one was killed."""
        writers = [writer]
        try:
            worker = await self._dial()
            if worker is not None:
                answers, to_worker = worker
                writers.append(to_worker)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, to_worker))
                    group.create_task(_copy(answers, writer))
        except* OSError:
            pass  # one end was killed
        finally:
            for each in writers:
                each.transport.abort()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self.workers:
            self._turn = (self._turn + 1) % len(self.workers)
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self.workers[self._turn])
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_READ):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
