"""The worlds that are searched: those in which all holds, and for each rule one in which it is missed."""

from typing import NamedTuple

from tests.model.bounds import Bounds


class Scenario(NamedTuple):
    """A world in which everything holds. states: how many it has. progress: whether J8 is checked too."""

    bounds: Bounds
    states: int
    progress: bool = True


class Mutation(NamedTuple):
    """A world in which rules are missed. states: how many are seen until something breaks."""

    bounds: Bounds
    states: int


SCENARIOS = {
    "links up": Scenario(Bounds(down=0, up=3), 60_623),
    "links down": Scenario(Bounds(down=3, up=0), 43_069),
    "links both": Scenario(Bounds(down=2), 190_547, progress=False),
    "links both, the other way": Scenario(Bounds(up=2), 222_133, progress=False),
    "four links": Scenario(Bounds(links=4), 460_273, progress=False),
    "severed": Scenario(Bounds(faults={"sever": 1}), 94_593),
    "window up": Scenario(Bounds(down=0, up=3, window=1), 22_619),
    "window down": Scenario(Bounds(down=3, up=0, window=1), 18_925),
    "node crash up": Scenario(Bounds(down=0, up=2, faults={"node": 1}), 65_987),
    "node crash down": Scenario(Bounds(down=2, up=0, faults={"node": 1}), 44_517),
    "node crash both": Scenario(Bounds(faults={"node": 1}), 100_381),
    "two node crashes": Scenario(Bounds(links=2, faults={"node": 2}), 9_013),
    "failover up": Scenario(Bounds(down=0, up=2, links=2, faults={"failover": 1}), 17_771),
    "failover down": Scenario(Bounds(down=2, up=0, faults={"failover": 1}), 257_343, progress=False),
    "failover both": Scenario(Bounds(links=2, faults={"failover": 1}), 38_115),
    "failover and crash up": Scenario(
        Bounds(down=0, up=2, links=2, faults={"failover": 1, "node": 1}), 37_635
    ),
    "failover and crash down": Scenario(
        Bounds(down=3, up=0, links=2, faults={"failover": 1, "node": 1}), 116_839, progress=False
    ),
    "two failovers": Scenario(Bounds(down=2, up=0, links=2, faults={"failover": 2}), 38_485, progress=False),
    "expiry": Scenario(Bounds(faults={"expire": 1}), 86_959),
    "expiry and crash": Scenario(Bounds(links=2, faults={"expire": 1, "node": 1}), 14_939),
    "kill": Scenario(Bounds(faults={"kill": 1}, snapshots=True), 255_907, progress=False),
    "kill twice": Scenario(Bounds(links=2, faults={"kill": 2}, snapshots=True), 35_435),
    "kill down": Scenario(Bounds(down=2, up=0, faults={"kill": 1}, snapshots=True), 110_583),
    "kill and node crash": Scenario(
        Bounds(links=2, faults={"kill": 1, "node": 1}, snapshots=True), 32_415, progress=False
    ),
    "end": Scenario(Bounds(ends=True), 140_183),
    "end up": Scenario(Bounds(down=0, up=2, ends=True), 84_661),
    "end and expiry": Scenario(Bounds(faults={"expire": 1}, ends=True), 253_955),
    "end and crash": Scenario(Bounds(down=0, up=2, faults={"node": 1}, ends=True), 176_855, progress=False),
    "dismiss": Scenario(Bounds(dismisses=True), 96_459),
    "dismiss and crash": Scenario(
        Bounds(down=2, up=0, faults={"node": 1}, dismisses=True), 95_741, progress=False
    ),
    "overflow": Scenario(Bounds(down=3, links=2, overflows=True), 34_571),
    "restart without the store": Scenario(Bounds(faults={"restart": 1}, nodes=(0,)), 12_756),
    "forced takeover": Scenario(Bounds(down=0, up=2, forced=True), 79_221),
    "forced takeover both": Scenario(Bounds(forced=True), 95_349),
    "forced takeover and crash": Scenario(Bounds(links=2, faults={"node": 1}, forced=True), 11_599),
    "move": Scenario(Bounds(links=2, moves=True), 5_217, progress=False),
    "move down": Scenario(Bounds(up=0, moves=True), 12_393, progress=False),
    "move and late answer": Scenario(Bounds(links=2, faults={"late": 1}, moves=True), 8_989, progress=False),
    "move and crash": Scenario(Bounds(links=2, faults={"node": 1}, moves=True), 9_957, progress=False),
    "move, late answer and crash": Scenario(
        Bounds(links=2, faults={"late": 1, "node": 1}, moves=True), 18_307, progress=False
    ),
    # The resume of a link that was given up is read between the answer of the owner and the claim.
    "move and failover": Scenario(Bounds(up=0, faults={"failover": 1}, moves=True), 112_057, progress=False),
    "move, failover and crash": Scenario(
        Bounds(up=0, faults={"failover": 1, "node": 1}, moves=True), 277_059, progress=False
    ),
    "move, failover and expiry": Scenario(
        Bounds(up=0, links=2, faults={"failover": 1, "expire": 1}, moves=True), 10_747, progress=False
    ),
    "move and send": Scenario(Bounds(up=0, faults={"claim": 1}, moves=True), 17_209, progress=False),
    "move, send, close and failover": Scenario(
        Bounds(down=2, up=0, links=2, faults={"failover": 1, "claim": 1, "leave": 1}, moves=True),
        93_747,
        progress=False,
    ),
    "move in memory": Scenario(
        Bounds(up=0, faults={"claim": 1}, moves=True, in_memory=True), 20_401, progress=False
    ),
    "move in memory, late answer and crash": Scenario(
        Bounds(links=2, faults={"late": 1, "node": 1}, moves=True, in_memory=True), 19_093, progress=False
    ),
    "move in memory and failover": Scenario(
        Bounds(up=0, faults={"failover": 1}, moves=True, in_memory=True), 98_889, progress=False
    ),
    "move in memory, send, close and failover": Scenario(
        Bounds(
            down=2,
            up=0,
            links=2,
            faults={"failover": 1, "claim": 1, "leave": 1},
            moves=True,
            in_memory=True,
        ),
        56_921,
        progress=False,
    ),
    "lossy host up": Scenario(Bounds(down=0, up=3, links=2, faults={"host": 1}), 7_353),
    "lossy host down": Scenario(Bounds(down=3, up=0, links=2, faults={"host": 1}), 5_561),
    # A stale snapshot leads to a reset or to a message that is handled again, never to a silent loss.
    "stale snapshot": Scenario(
        Bounds(links=2, snapshots=True, faults={"kill": 1}, broken="snapshot_deleted", ignored=("J1", "J6")),
        36_357,
        progress=False,
    ),
    "stale snapshot up": Scenario(
        Bounds(
            down=0, up=2, snapshots=True, faults={"kill": 1}, broken="snapshot_deleted", ignored=("J1", "J6")
        ),
        371_891,
        progress=False,
    ),
}

MUTATIONS = [
    Mutation(Bounds(broken="fence", forced=True), 15_371),
    Mutation(Bounds(up=0, broken="ordinal"), 5_589),
    Mutation(Bounds(down=0, links=2, broken="handoff"), 714),
    Mutation(Bounds(down=0, links=2, faults={"node": 1}, broken="record_before_ack"), 1_396),
    Mutation(Bounds(down=0, links=2, faults={"node": 1}, broken="ack_handled"), 232),
    Mutation(Bounds(up=0, links=2, faults={"kill": 1}, broken="client_ack_handled", snapshots=True), 322),
    Mutation(Bounds(down=2, up=0, faults={"node": 1}, broken="append_before_send"), 506),
    Mutation(
        Bounds(down=3, up=0, faults={"failover": 1, "node": 1}, broken="lineage", ignored=("J6",)), 4_685
    ),
    Mutation(Bounds(links=2, faults={"failover": 1}, broken="repair"), 241),
    Mutation(Bounds(down=2, up=0, links=2, faults={"host": 1}, broken="numbers"), 474),
    Mutation(Bounds(down=3, up=0, links=2, broken="window"), 68),
    Mutation(Bounds(down=2, up=0, links=2, broken="exact_replay"), 742),
    Mutation(Bounds(down=0, up=2, faults={"kill": 1}, broken="snapshot_deleted", snapshots=True), 16_118),
    Mutation(
        Bounds(down=2, up=0, links=2, faults={"kill": 1}, broken="snapshot_handled", snapshots=True), 1_187
    ),
    Mutation(Bounds(down=2, up=0, links=2, faults={"kill": 1}, broken="frozen", snapshots=True), 5_186),
    Mutation(
        Bounds(
            down=0, up=2, faults={"kill": 1}, broken="frozen restored_waits", snapshots=True, ignored=("J6",)
        ),
        56_382,
    ),
    Mutation(Bounds(down=0, up=2, links=2, faults={"kill": 1}, broken="frozen range", snapshots=True), 7_590),
    Mutation(Bounds(down=0, up=0, broken="tombstone", dismisses=True), 283),
    Mutation(Bounds(up=0, links=4, faults={"failover": 1, "node": 1}, broken="tombstone_reason"), 174_323),
    Mutation(Bounds(up=0, broken="dismissed_final", dismisses=True), 405),
    Mutation(Bounds(down=0, links=2, broken="end_after_handled", ends=True), 207),
    Mutation(Bounds(broken="current_link"), 3_357),
    Mutation(Bounds(down=0, up=0, broken="stable_key"), 1_000),
    Mutation(Bounds(up=0, faults={"failover": 1}, broken="ask_all"), 1_220),
    Mutation(Bounds(down=0, up=0, links=2, faults={"failover": 1}, broken="given", moves=True), 480),
    Mutation(Bounds(down=0, up=0, faults={"failover": 1}, broken="claimed", moves=True), 6_805),
    Mutation(Bounds(down=0, up=0, broken="newer_link", moves=True), 1_554),
    Mutation(Bounds(up=0, faults={"failover": 1}, broken="same_claim", moves=True), 43_413),
    Mutation(Bounds(up=0, faults={"failover": 1}, broken="still_claimed", moves=True), 88_759),
    Mutation(
        Bounds(down=0, up=2, faults={"kill": 1}, broken="snapshot_deleted range", snapshots=True), 50_283
    ),
    Mutation(Bounds(down=0, up=2, links=2, faults={"node": 1}, broken="record_before_ack range"), 4_572),
    Mutation(
        Bounds(
            down=0, up=2, links=2, faults={"failover": 1, "node": 1}, broken="lineage range", ignored=("J6",)
        ),
        14_251,
    ),
    Mutation(Bounds(down=2, up=0, links=2, broken="exact_replay numbers"), 1_292),
    Mutation(Bounds(down=0, up=2, broken="fence numbers", forced=True, ignored=("J6",)), 26_859),
    Mutation(Bounds(down=0, broken="current_link numbers"), 5_467),
]
