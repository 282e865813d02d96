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
    assert max(attempt for _, attempt in came) <= 8


def test_nobody_is_told_to_stay_away_for_longer_than_two_minutes() -> None:
    rate = Rate(10)
    while rate.take(0):
        pass
    told = Counter(rate.come_back(0) for _ in range(12_000))
    assert (min(told), max(told)) == (1, 120)
    assert max(told.values()) < 200  # nor do all of them come at one moment


def test_clients_that_do_not_keep_to_it_harm_the_others_for_two_minutes_at_most() -> None:
    rate = Rate(100)
    queue = [(client / 5000, keeps) for client in range(2000) for keeps in (True, False)]
    heapify(queue)
    came = []
    last = {True: 0.0, False: 0.0}
    while queue:
        at, keeps = heappop(queue)
        if rate.take(at):
            came.append((at, 1))
            last[keeps] = at
        else:
            told = rate.come_back(at)
            heappush(queue, (at + (told if keeps else 0.5), keeps))
    assert most_in_a_second(came) <= 200
    assert last[False] <= 41
    assert last[True] <= 41 + 120
