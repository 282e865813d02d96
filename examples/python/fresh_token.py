"""How do I give every attempt a fresh token, and stop when the server refuses it?  fresh_token.py URL"""

import asyncio
import sys
import time

from websocket_heartbeat import ConnectionFailed, HandshakeRejected, connect


async def fresh_headers() -> dict[str, str]:
    token = f"token-of-{time.time():.0f}"  # fetch yours here
    return {"Authorization": f"Bearer {token}"}


async def main(url: str) -> None:
    async with connect(url, additional_headers=fresh_headers) as connection:
        try:
            async for message in connection:
                print(message)
        except ConnectionFailed as error:
            if isinstance(error.__cause__, HandshakeRejected):
                print("refused with status", error.__cause__.status)
            raise


asyncio.run(main(sys.argv[1]))
