"""A network namespace for each worker, with a wire to its clients and one to the store, which can be cut."""

import os

from pyroute2 import IPRoute, NetNS, netns

_NETWORK = "198.51.100"
"""RFC 5737 keeps this network free for examples. Each wire has four addresses of it."""


class Wires:
    """Worker n is `.(8n+2)` to its clients and `.(8n+6)` to the store, which is `.(8n+5)` to it."""

    def __init__(self, count: int) -> None:
        self._names = [f"wshb-{os.getpid()}-worker-{number}" for number in range(count)]
        self._devices: list[int] = []  # to the store, at its end

    # Not on a loop that runs, as pyroute2 runs one of its own

    def make(self) -> None:
        """Make the namespaces and the wires."""
        with IPRoute() as root:
            self._make(root)

    def _make(self, root: IPRoute) -> None:
        for number, name in enumerate(self._names):
            netns.create(name)
            with NetNS(name) as net:
                net.link("set", index=net.link_lookup(ifname="lo")[0], state="up")
                for place, kind in enumerate(("c", "s")):
                    ours, theirs = f"wh{os.getpid()}{kind}{number}", f"{kind}{number}"
                    root.link("add", ifname=ours, kind="veth", peer={"ifname": theirs, "net_ns_fd": name})
                    base = 8 * number + 4 * place
                    device = root.link_lookup(ifname=ours)[0]
                    for at, index, last in ((root, device, base + 1), (net, None, base + 2)):
                        index = net.link_lookup(ifname=theirs)[0] if index is None else index
                        at.addr("add", index=index, address=f"{_NETWORK}.{last}", prefixlen=30)
                        at.link("set", index=index, state="up")
            self._devices.append(device)

    def remove(self) -> None:
        """Remove them."""
        for name in self._names:
            if name in netns.listnetns():
                netns.remove(name)

    def ends(self, number: int) -> tuple[str, str, str]:
        """Return where a worker listens, its namespace, and where it finds the store."""
        return f"{_NETWORK}.{8 * number + 2}", self._names[number], f"{_NETWORK}.{8 * number + 5}"

    def cut(self, number: int) -> None:
        """Let nothing pass between a worker and the store."""
        self._set(number, "down")

    def mend(self, number: int) -> None:
        """Let everything pass again."""
        self._set(number, "up")

    def _set(self, number: int, state: str) -> None:
        with IPRoute() as root:
            root.link("set", index=self._devices[number], state=state)
