"""What docs/server.md shows under "With a framework" runs."""

import asyncio
import re
import signal
from pathlib import Path
from typing import Any

from tests.server.frameworks.serving import serving
from tests.server.raw import TEXT, client
from tests.watch import Run, until

PAGE = Path(__file__).parents[3] / "docs" / "server.md"


def _blocks() -> list[str]:
    """Return the Python of the section."""
    section = PAGE.read_text().partition("\n## With a framework\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_a_user_of_fastapi_follows_the_page(run_asyncio: Run) -> None:
    async def main() -> None:
        application, lifespan, endpoint = _blocks()
        names: dict[str, Any] = {}
        exec(application, names)
        async with serving(names["app"]) as place:
            async with client(place, "/echo") as raw:
                raw.frame(TEXT, b"heartbeat")
                raw.frame(TEXT, b"hello")
                assert [await raw.read(), await raw.read()] == [(TEXT, b"heartbeat"), (TEXT, b"hello")]
            async with client(place, "/prices") as one, client(place, "/prices") as other:
                await until(lambda: len(names["hub"].room("prices")) == 2)
                one.frame(TEXT, b"3.50")
                assert await one.read() == await other.read() == (TEXT, b"3.50")
        exec(lifespan, names)
        exec(endpoint, names)
        names["app"].add_middleware(names["hub"].asgi)
        before = signal.getsignal(signal.SIGTERM)
        async with serving(names["app"]) as place:
            assert signal.getsignal(signal.SIGTERM) is not before
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(b"POST /send-away HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"0 clients were sent away" in await reader.read()
            writer.close()
            await writer.wait_closed()
            async with client(place, "/") as late:
                assert late.status == 503
        await names["hub"].close()

    run_asyncio(main())
