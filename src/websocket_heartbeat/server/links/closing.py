"""The block of an endpoint that has a peer: at its end the peer is closed, and gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.server.peer import Peer


@asynccontextmanager
async def closing(peer: Peer) -> AsyncIterator[Peer]:
    """Yield the peer; close it at the end, with the code that says how the block ended, and wait for its end.

    That is 1000, or 1011 where the block raises, or 1001 where it is cancelled. A block that has been told by
    PeerGone that its peer is gone has ended as it should, and nothing is raised: a client that leaves is no
    error, of which frameworks would log a traceback.
    """
    try:
        yield peer
    except asyncio.CancelledError:
        peer.close(1001)
        raise
    except BaseException as error:
        if not (isinstance(error, PeerGone) and peer.closed):
            peer.close(1011)
            raise
    else:
        peer.close()
    finally:
        await peer.wait_closed()
