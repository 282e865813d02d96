"""The block of an endpoint that has a peer: at its end the peer is closed, and gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websocket_heartbeat.errors import NotCommitted, PeerGone
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.sessions.door import Door


@asynccontextmanager
async def closing(handler: PeerHandler) -> AsyncIterator[Peer]:
    """Yield the peer; close it at the end, with the code that says how the block ended, and wait for its end.

    That is 1000, or 1011 where the block raises, or 1001 where it is cancelled; PeerHandler says what becomes
    of a session. A block that has been told by PeerGone that its peer is gone has ended as it should, and
    nothing is raised: a client that leaves is no error, of which frameworks would log a traceback.
    """
    peer = handler.peer
    try:
        yield peer
    except (asyncio.CancelledError, NotCommitted):  # of both the message in hand comes again
        handler.endpoint_cancelled()
        raise
    except BaseException as error:
        if not (isinstance(error, PeerGone) and peer.closed):
            handler.endpoint_failed()
            raise
    else:
        handler.endpoint_returned()
    finally:
        await handler.wait_gone()


async def ended(door: Door) -> None:
    """Wait for the end of a link of a session; where that is cancelled, close the link."""
    try:
        await asyncio.wait((door.gone(),))
    except asyncio.CancelledError:
        door.part(1001, "")
        raise
