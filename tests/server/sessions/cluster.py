"""A real cluster of Valkey: three nodes that take writes, and a replica of the first one."""

import secrets
import socket
import time
from pathlib import Path

from tests.server.sessions.valkey import Valkey

_SLOTS = 16384
_WRITERS = 3


class Cluster:
    """folder: where the nodes keep their data. nodes: the first three take writes.

    Each knows of all others from its start, by the file that it would have written itself. A node that is
    told of another one, as by CLUSTER MEET, forgets it if the two have not spoken within the time that counts
    as silence: on a busy machine that is too short.
    """

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Valkey] = []
        places = []
        for place in range(_WRITERS + 1):
            own = folder / str(place)
            own.mkdir()
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                bus: int = free.getsockname()[1]
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            self.nodes.append(Valkey(own, *options, "--repl-diskless-sync-delay", "0"))
            places.append(f"127.0.0.1:{self.nodes[-1].port}@{bus}")
        names = [secrets.token_hex(20) for _ in self.nodes]
        for own_place in range(len(self.nodes)):
            lines = []
            for place, (name, address) in enumerate(zip(names, places, strict=True)):
                myself = "myself," if place == own_place else ""
                if place < _WRITERS:
                    first, end = place * _SLOTS // _WRITERS, (place + 1) * _SLOTS // _WRITERS
                    role = f"{myself}master - 0 0 {place + 1} connected {first}-{end - 1}"
                else:
                    role = f"{myself}slave {names[0]} 0 0 1 connected"
                lines.append(f"{name} {address} {role}\n")
            lines.append(f"vars currentEpoch {_WRITERS} lastVoteEpoch 0\n")
            (folder / str(own_place) / "nodes.conf").write_text("".join(lines))

    @property
    def url(self) -> str:
        return f"{self.nodes[1].url}?cluster=yes"

    def start(self) -> None:
        """Start all nodes, and wait until each takes calls, and the replica has what it follows."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            with node.client() as client:
                while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    time.sleep(0.05)
        with self.nodes[-1].client() as replica:
            while replica.info("replication").get("master_link_status") != "up":
                time.sleep(0.05)

    def promote(self) -> None:
        """Have the replica take the place of the first node, without a vote, which takes long."""
        with self.nodes[-1].client() as replica:
            replica.execute_command("CLUSTER FAILOVER", "TAKEOVER")

    def flush(self) -> None:
        for node in self.nodes[:_WRITERS]:
            with node.client() as client:
                client.flushall()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
