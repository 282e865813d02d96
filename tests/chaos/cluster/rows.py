"""What happens to workers and store of the cluster chaos: one row each of the table that is written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """name: for the command line. what: happens again and again. up, down: what is promised of messages.

    store: how it is run: "aof", "memory" (forgets all when it is killed), or "replica" (with one that lags).
    faults: names of methods of Stage. durability: that of the hubs.
    """

    name: str
    what: str
    up: str
    down: str
    store: str = "aof"
    faults: tuple[str, ...] = ()
    durability: str = "through"


ONCE = "exactly once"
AGAIN = "the one in progress may be handled twice"

ROWS = (
    Row("moves", "links are cut, and clients come to any worker", ONCE, ONCE),
    Row("restarts", "workers are restarted (SIGTERM)", ONCE, ONCE, faults=("restart_worker",)),
    Row(
        "moves-handover",
        'links are cut, and clients come to any worker, `durability="handover"`',
        ONCE,
        ONCE,
        durability="handover",
    ),
    Row(
        "restarts-handover",
        'workers are restarted (SIGTERM), `durability="handover"`',
        ONCE,
        ONCE,
        faults=("restart_worker",),
        durability="handover",
    ),
    Row("kills", "workers are killed (SIGKILL)", AGAIN, ONCE, faults=("kill_worker",)),
    Row("store-aof", "Valkey is killed, with AOF", ONCE, ONCE, faults=("kill_store",)),
    Row("store-memory", "Valkey is killed, without AOF", ONCE, ONCE, store="memory", faults=("kill_store",)),
    Row(
        "failover",
        "Valkey fails over to a replica that lacks the last writes",
        ONCE,
        ONCE,
        store="replica",
        faults=("fail_over",),
    ),
    Row(
        "partitions",
        "the network between a worker and Valkey is cut",
        AGAIN,
        ONCE,
        faults=("part",),
    ),
)
