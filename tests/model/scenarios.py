"""The worlds that are searched: those in which all holds, and for each rule one in which it is missed."""

from typing import NamedTuple

from tests.model.bounds import Bounds


class Scenario(NamedTuple):
    """A world in which everything holds. progress: whether J8 is checked too."""

    bounds: Bounds
    progress: bool = True


SCENARIOS = {
    "links up": Scenario(Bounds(down=0, up=3)),
    "links down": Scenario(Bounds(down=3, up=0)),
    "links both": Scenario(Bounds(down=2, up=1), progress=False),
    "links both, the other way": Scenario(Bounds(down=1, up=2), progress=False),
    "four links": Scenario(Bounds(links=4), progress=False),
    "severed": Scenario(Bounds(faults={"sever": 1})),
    "window up": Scenario(Bounds(down=0, up=3, window=1)),
    "window down": Scenario(Bounds(down=3, up=0, window=1)),
    "node crash up": Scenario(Bounds(down=0, up=2, faults={"node": 1})),
    "node crash down": Scenario(Bounds(down=2, up=0, faults={"node": 1})),
    "node crash both": Scenario(Bounds(faults={"node": 1})),
    "two node crashes": Scenario(Bounds(links=2, faults={"node": 2})),
    "failover up": Scenario(Bounds(down=0, up=2, links=2, faults={"failover": 1})),
    "failover down": Scenario(Bounds(down=2, up=0, faults={"failover": 1}), progress=False),
    "failover both": Scenario(Bounds(links=2, faults={"failover": 1})),
    "failover and crash up": Scenario(Bounds(down=0, up=2, links=2, faults={"failover": 1, "node": 1})),
    "failover and crash down": Scenario(
        Bounds(down=3, up=0, links=2, faults={"failover": 1, "node": 1}), progress=False
    ),
    "two failovers": Scenario(Bounds(down=2, up=0, links=2, faults={"failover": 2}), progress=False),
    "expiry": Scenario(Bounds(faults={"expire": 1})),
    "expiry and crash": Scenario(Bounds(links=2, faults={"expire": 1, "node": 1})),
    "kill": Scenario(Bounds(snapshots=True, faults={"kill": 1}), progress=False),
    "kill twice": Scenario(Bounds(links=2, snapshots=True, faults={"kill": 2})),
    "kill down": Scenario(Bounds(down=2, up=0, snapshots=True, faults={"kill": 1})),
    "kill and node crash": Scenario(
        Bounds(links=2, snapshots=True, faults={"kill": 1, "node": 1}), progress=False
    ),
    "end": Scenario(Bounds(ends=True)),
    "end up": Scenario(Bounds(down=0, up=2, ends=True)),
    "end and crash": Scenario(Bounds(down=0, up=2, ends=True, faults={"node": 1}), progress=False),
    "dismiss": Scenario(Bounds(dismisses=True)),
    "dismiss and crash": Scenario(Bounds(down=2, up=0, dismisses=True, faults={"node": 1}), progress=False),
    "forced takeover": Scenario(Bounds(down=0, up=2, forced=True)),
    "forced takeover both": Scenario(Bounds(forced=True)),
    "forced takeover and crash": Scenario(Bounds(links=2, forced=True, faults={"node": 1})),
    "lossy host up": Scenario(Bounds(down=0, up=3, links=2, faults={"host": 1})),
    "lossy host down": Scenario(Bounds(down=3, up=0, links=2, faults={"host": 1})),
}

MUTATIONS = [
    # What is broken, and a world in which that matters.
    Bounds(broken="fence", forced=True),
    Bounds(broken="ordinal", down=1, up=0),
    Bounds(broken="handoff", down=0, links=2),
    Bounds(broken="record_before_ack", down=0, links=2, faults={"node": 1}),
    Bounds(broken="ack_handled", down=0, links=2, faults={"node": 1}),
    Bounds(broken="client_ack_handled", up=0, links=2, snapshots=True, faults={"kill": 1}),
    Bounds(broken="append_before_send", down=2, up=0, faults={"node": 1}),
    Bounds(broken="lineage", down=3, up=0, faults={"failover": 1, "node": 1}, ignored=("J6",)),
    Bounds(broken="repair", links=2, faults={"failover": 1}),
    Bounds(broken="numbers", down=2, up=0, links=2, faults={"host": 1}),
    Bounds(broken="window", down=3, up=0, links=2),
    Bounds(broken="exact_replay", down=2, up=0, links=2),
    Bounds(broken="snapshot_deleted", down=0, up=2, snapshots=True, faults={"kill": 1}),
    Bounds(broken="snapshot_handled", down=2, up=0, links=2, snapshots=True, faults={"kill": 1}),
    Bounds(broken="frozen", down=2, up=0, links=2, snapshots=True, faults={"kill": 1}),
    Bounds(broken="frozen restored_waits", down=0, up=2, snapshots=True, faults={"kill": 1}, ignored=("J6",)),
    Bounds(broken="frozen range", down=0, up=2, links=2, snapshots=True, faults={"kill": 1}),
    Bounds(broken="tombstone", down=0, up=0, dismisses=True),
    Bounds(broken="tombstone_reason", up=0, links=4, faults={"failover": 1, "node": 1}),
    Bounds(broken="dismissed_final", up=0, dismisses=True),
    Bounds(broken="end_after_handled", down=0, links=2, ends=True),
    Bounds(broken="current_link"),
    Bounds(broken="stable_key", down=0, up=0),
    Bounds(broken="ask_all", up=0, faults={"failover": 1}),
    Bounds(broken="snapshot_deleted range", down=0, up=2, snapshots=True, faults={"kill": 1}),
    Bounds(broken="record_before_ack range", down=0, up=2, links=2, faults={"node": 1}),
    Bounds(broken="lineage range", down=0, up=2, links=2, faults={"failover": 1, "node": 1}, ignored=("J6",)),
    Bounds(broken="exact_replay numbers", down=2, up=0, links=2),
    Bounds(broken="fence numbers", down=0, up=2, forced=True, ignored=("J6",)),
    Bounds(broken="current_link numbers", down=0, up=1),
]
