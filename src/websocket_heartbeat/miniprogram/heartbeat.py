"""The call of websocket-heartbeat-miniprogram, in Python."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.language import Record, read
from websocket_heartbeat.miniprogram.task import MiniProgramTask


def WebsocketHeartbeat(  # noqa: N802 # the originals' name
    options: Mapping[str, Any] | None = None, **more: Any
) -> Awaitable[MiniProgramTask]:
    """Connect as a mini program does, with its options, over a host such as those of testing/phone.

    The task comes as soon as there is a socket or the first attempt has failed, as in JavaScript.

    Raises, when awaited:
        ValueError: an option is missing or wrong; the text names it.
    """
    given = Record(options or {}, **more)
    future: asyncio.Future[MiniProgramTask] = asyncio.get_running_loop().create_future()

    def ready(task: MiniProgramTask) -> None:
        if not future.done():
            future.set_result(task)

    try:
        clock = read(given["miniprogram"], "clock")
        MiniProgramTask(clock if isinstance(clock, Clock) else Clock(), given).begin(ready)
    except ValueError as error:
        future.set_exception(error)
    return future
