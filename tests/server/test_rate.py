"""So many new clients a second come in, and the others are told moments at which they can."""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from websocket_heartbeat.server.rate import Rate


def come_back(rate: Rate, arrivals: list[float], late: Callable[[], float]) -> list[tuple[float, int]]:
    """Let clients come, and come back when they are told and so much later; return when each came in, and
    with which of its attempts."""
    queue = [(at, 1) for at in arrivals]
    heapify(queue)
    came = []
    while queue:
        at, attempt = heappop(queue)
        if rate.take(at):
            came.append((at, attempt))
        else:
            heappush(queue, (at + rate.come_back(at) + late(), attempt + 1))
    return came


def punctual() -> float:
    return 0.0


def most_in_a_second(came: list[tuple[float, int]]) -> int:
    moments = sorted(at for at, _ in came)
    return max(bisect_left(moments, at + 1) - number for number, at in enumerate(moments))


def test_the_clients_of_one_second_come_in_at_once_and_others_at_the_rate() -> None:
    rate = Rate(10)
    now = 1e6
    assert [rate.take(now) for _ in range(12)] == [True] * 10 + [False] * 2
    assert not rate.take(now + 0.04)
    assert rate.take(now + 0.1)
    assert not rate.take(now + 0.1)
    assert [rate.take(now + 1000) for _ in range(12)] == [True] * 10 + [False] * 2


def test_a_rate_may_be_less_than_one_a_second() -> None:
    rate = Rate(0.25)
    assert [rate.take(0), rate.take(0)] == [True, False]
    assert rate.come_back(0) == 4
    assert rate.come_back(0) == 8
    assert [rate.take(3.9), rate.take(4)] == [False, True]


def test_each_client_that_is_refused_is_told_a_moment_of_its_own() -> None:
    rate = Rate(10)
    while rate.take(0):
        pass
    assert Counter(rate.come_back(0) for _ in range(50)) == dict.fromkeys(range(1, 6), 10)
    assert rate.come_back(3.5) == 2  # the first that nobody was told of


def test_moments_that_have_passed_are_told_to_nobody() -> None:
    rate = Rate(10)
    for _ in range(15):
        rate.take(0) or rate.come_back(0)
    while rate.take(100):
        pass
    assert rate.come_back(100) == 1


def test_clients_that_keep_to_it_are_refused_once_and_back_as_soon_as_can_be() -> None:
    came = come_back(Rate(100), [0.0] * 5000, punctual)
    assert max(attempt for _, attempt in came) == 2
    assert max(at for at, _ in came) <= 50
    assert most_in_a_second(came) <= 200


def test_clients_that_come_late_are_back_hardly_later() -> None:
    draw = random.Random(1)
    came = come_back(Rate(100), [draw.random() for _ in range(5000)], lambda: draw.uniform(0, 10))
    came.sort()
    assert came[4949][0] <= 75  # 99 % within 1.5 N/C
    assert sum(attempt for _, attempt in came) <= 3 * len(came)
    assert most_in_a_second(came) <= 200


def test_new_clients_beside_a_crowd_that_returns_only_make_the_crowd_larger() -> None:
    draw = random.Random(1)
    crowd = [draw.random() for _ in range(3000)]
    new = [draw.uniform(0, 40) for _ in range(1000)]
    came = come_back(Rate(100), crowd + new, draw.random)
    came.sort()
    assert came[3959][0] <= 1.5 * 40
    assert max(attempt for _, attempt in came) <= 12


def test_nobody_is_told_to_stay_away_for_longer_than_two_minutes() -> None:
    rate = Rate(10)
    while rate.take(0):
        pass
    told = Counter(rate.come_back(0) for _ in range(12_000))
    assert (min(told), max(told)) == (1, 120)
    assert max(told.values()) < 200  # nor do all of them come at one moment
    # And who comes a little later is told a moment behind all those.
    assert all(80 <= rate.come_back(5) <= 120 for _ in range(20))
    assert rate.come_back(115) <= 5


def come_back_beside_deaf_ones(patience: Callable[[], float]) -> dict[bool, float]:
    """Let 2,000 clients come back as they are told, and as many, who are told nothing, after their patience;
    return when 99 % of both were back."""
    rate = Rate(100)
    queue = [(client / 5000, hears) for client in range(2000) for hears in (True, False)]
    heapify(queue)
    came: dict[bool, list[float]] = {True: [], False: []}
    while queue:
        at, hears = heappop(queue)
        if rate.take(at):
            came[hears].append(at)
        else:
            told = rate.come_back(at)
            heappush(queue, (at + (told if hears else patience()), hears))
    return {hears: sorted(moments)[1979] for hears, moments in came.items()}


def test_moments_told_in_vain_fade() -> None:
    draw = random.Random(1)
    back = come_back_beside_deaf_ones(lambda: draw.uniform(4, 12))
    assert back[False] <= 40
    assert back[True] <= 1.5 * 40


def test_clients_that_hammer_keep_the_others_away_for_two_minutes_at_most() -> None:
    back = come_back_beside_deaf_ones(lambda: 0.5)
    assert back[False] <= 40
    assert back[True] <= 40 + 120
