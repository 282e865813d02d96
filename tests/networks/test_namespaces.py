"""Real networks: two hosts of our own, in network namespaces joined by a cable of our own."""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("network namespaces are Linux's", allow_module_level=True)

from pyroute2 import NetNS, netns

from websocket_heartbeat.system.kernel import TELLS

SERVER_ADDRESS = "192.0.2.1"
CLIENT_ADDRESS = "192.0.2.2"
OTHER_ADDRESS = "192.0.2.3"
PREFIX = 24


class Host:
    """A namespace with one end of the cable, and the program that runs there."""

    def __init__(self, name: str) -> None:
        netns.create(name)
        self.name = name
        self.net = NetNS(name)
        self.device = 0
        self.net.link("set", index=self.net.link_lookup(ifname="lo")[0], state="up")
        self._program: subprocess.Popen[str] | None = None
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()

    def plug(self, address: str) -> None:
        self.device = self.net.link_lookup(ifname="cable")[0]
        self.net.addr("add", index=self.device, address=address, prefixlen=PREFIX)
        self.net.link("set", index=self.device, state="up")

    def start(self, *arguments: str) -> None:
        program = Path(__file__).with_name("host.py")
        self._program = subprocess.Popen(
            [sys.executable, program, self.name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self._program,), daemon=True).start()

    def _listen(self, program: "subprocess.Popen[str]") -> None:
        assert program.stdout is not None
        for line in program.stdout:
            self._events.put(json.loads(line))

    def next(self, event: str, within: float = 30) -> dict[str, Any]:
        """Return the next event of that name; any other one before it fails."""
        found = self._events.get(timeout=within)
        assert found["event"] == event, found
        return found

    def is_quiet(self) -> bool:
        return self._events.empty()

    def remove(self) -> None:
        if self._program is not None:
            assert self._program.stdin is not None
            assert self._program.stdout is not None
            self._program.stdin.close()
            try:
                self._program.wait(20)
            except subprocess.TimeoutExpired:
                self._program.kill()
                self._program.wait()
            self._program.stdout.close()
        self.net.close()
        netns.remove(self.name)


@contextlib.contextmanager
def network() -> Iterator[tuple[Host, Host]]:
    hosts: list[Host] = []
    try:
        try:
            hosts.append(Host(f"wshb-{os.getpid()}-server"))
            hosts.append(Host(f"wshb-{os.getpid()}-client"))
            server, client = hosts
            server.net.link(
                "add", ifname="cable", kind="veth", peer={"ifname": "cable", "net_ns_fd": client.name}
            )
        except PermissionError:
            pytest.skip("network namespaces need root")
        server.plug(SERVER_ADDRESS)
        client.plug(CLIENT_ADDRESS)
        server.start("serve")
        server.next("serving")
        yield server, client
    finally:
        for host in hosts:
            host.remove()


def set_cable(host: Host, state: str) -> float:
    host.net.link("set", index=host.device, state=state)
    return time.monotonic()


def test_a_cable_pulled_for_longer_than_the_bound_is_noticed_within_it_and_recovered_from() -> None:
    with network() as (server, client):
        client.start("connect", "1", "1")
        client.next("open")
        pulled = set_cable(server, "down")
        lost = client.next("close")
        assert lost["at"] - pulled < 2 + 2, lost
        set_cable(server, "up")
        client.next("open")


def test_a_cable_pulled_for_less_than_the_timeout_costs_nothing() -> None:
    with network() as (server, client):
        client.start("connect", "0.5", "20")
        client.next("open")
        # TCP repairs this: fewer than four of its timeouts pass.
        set_cable(server, "down")
        time.sleep(1)
        set_cable(server, "up")
        time.sleep(3)
        assert client.is_quiet()


@pytest.mark.skipif(not TELLS, reason="this kernel does not tell of acknowledgements")
def test_a_cut_path_is_found_before_the_timeout_and_the_reason_says_that_it_is_cut() -> None:
    with network() as (server, client):
        client.start("connect", "6", "40")
        client.next("open")
        pulled = set_cable(server, "down")
        lost = client.next("close")
        assert lost["at"] - pulled < 30, lost
        assert lost["reason"].startswith("path dead: ")
        assert "the path is cut" in lost["reason"]
        heard, unacknowledged = map(float, re.findall(r"for (\d+\.\d) s", lost["reason"])[:2])
        assert heard - unacknowledged > 4, "what was idle before the ping is not the path's fault"
        set_cable(server, "up")
        client.next("open")


def test_a_path_that_loses_one_direction_is_noticed_and_recovered_from() -> None:
    with network() as (server, client):
        client.start("connect", "1", "1")
        client.next("open")
        # The server receives, and all that it answers falls into a hole.
        server.net.route("add", dst=f"{CLIENT_ADDRESS}/32", type="blackhole")
        cut = time.monotonic()
        lost = client.next("close")
        assert lost["at"] - cut < 2 + 2, lost
        server.net.route("del", dst=f"{CLIENT_ADDRESS}/32", type="blackhole")
        client.next("open")


def test_a_route_that_vanishes_is_noticed_and_recovered_from() -> None:
    with network() as (_, client):
        client.start("connect", "1", "1")
        client.next("open")
        link_scope = 253  # what the kernel gives the route of an address's own network
        network_route = {"dst": f"192.0.2.0/{PREFIX}", "oif": client.device, "scope": link_scope}
        client.net.route("del", **network_route)
        removed = time.monotonic()
        lost = client.next("close")
        assert lost["at"] - removed < 2 + 2, lost
        client.net.route("add", **network_route)
        client.next("open")


def test_a_changed_address_is_noticed_and_recovered_from() -> None:
    with network() as (_, client):
        client.start("connect", "1", "3")
        client.next("open")
        client.net.addr("del", index=client.device, address=CLIENT_ADDRESS, prefixlen=PREFIX)
        changed = time.monotonic()
        client.net.addr("add", index=client.device, address=OTHER_ADDRESS, prefixlen=PREFIX)
        lost = client.next("close")
        assert lost["at"] - changed < 4 + 2, lost
        if TELLS:
            assert "the path is cut" in lost["reason"]
        client.next("open")
