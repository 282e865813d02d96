"""A real cluster of Valkey: three nodes that take writes, and a replica of the first one."""

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.server.sessions.valkey import Valkey

_SLOTS = 16384
_WRITERS = 3


def skip_unless_asked() -> None:
    """Skip a test that needs a cluster, but under `make cluster-tests`: they want a machine of their own.

    Beside other tests its nodes do not always find each other, and who waits for its failover waits too long.
    """
    if "WITH_CLUSTER" not in os.environ:
        pytest.skip("`make cluster-tests` has the tests over a cluster")


class Cluster:
    """folder: where the nodes keep their data. nodes: the first three take writes."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Valkey] = []
        self._bus: list[int] = []
        for place in range(_WRITERS + 1):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._bus.append(free.getsockname()[1])
            own = folder / str(place)
            own.mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(self._bus[-1]))
            self.nodes.append(Valkey(own, *options, "--cluster-node-timeout", "1500"))

    @property
    def url(self) -> str:
        return f"{self.nodes[1].url}?cluster=yes"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for place, node in enumerate(self.nodes[:_WRITERS]):
            with node.client() as client:
                first, end = place * _SLOTS // _WRITERS, (place + 1) * _SLOTS // _WRITERS
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
                for other, bus in zip(self.nodes, self._bus, strict=True):
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        self._wait(len(self.nodes))
        with self.nodes[0].client() as first_one, self.nodes[-1].client() as replica:
            name = first_one.execute_command("CLUSTER", "MYID").decode()
            self._try(replica, "CLUSTER", "REPLICATE", name)
            for _ in range(600):
                if replica.info("replication").get("master_link_status") == "up":
                    return
                time.sleep(0.05)
        raise RuntimeError("the replica does not follow")

    def _wait(self, count: int) -> None:
        """Wait until all nodes know of each other."""
        for node in self.nodes:
            with node.client() as client:
                for _ in range(600):
                    told = client.execute_command("CLUSTER", "INFO")
                    state = (
                        told
                        if isinstance(told, dict)
                        else dict(line.split(":") for line in told.decode().split())
                    )
                    if state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == count:
                        break
                    time.sleep(0.05)
                else:
                    raise RuntimeError("the nodes do not find each other")

    def _try(self, client: Any, *command: str) -> None:
        for _ in range(200):
            try:
                client.execute_command(*command)
            except redis.ResponseError:  # it does not know that node yet
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"{command[1]} is refused")

    def flush(self) -> None:
        for node in self.nodes[:_WRITERS]:
            with node.client() as client:
                client.flushall()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
