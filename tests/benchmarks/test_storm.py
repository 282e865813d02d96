"""The simulated herd is the real core's, and the goals of the storm hold on the simulated clock."""

from dataclasses import asdict

import pytest

pytest.importorskip("numpy")

from benchmarks.herd import Policy, ours, settings, websockets
from benchmarks.storm import Recovery, ServerModel, herd_of, simulate

from websocket_heartbeat.core.backoff import delay

MODELS = {
    "no limits": (ServerModel(20), None),
    "back at once": (ServerModel(0, 4), None),
    "costly refusals": (ServerModel(0, 4, refusal_cost=0.1), None),
    "costly and silent": (ServerModel(20, 4, refusal_cost=0.1, silent=True), None),
    "silent": (ServerModel(20, 4, silent=True), None),
    "advice": (ServerModel(20, 4), 50.0),
    "a hub that limits": (ServerModel(20, 4, refusal_cost=0.1, admission=3.6), None),
}


def numbers_of(recovery: Recovery) -> dict[str, float]:
    return {name: value for name, value in asdict(recovery).items() if not isinstance(value, list)}


@pytest.mark.parametrize("model", MODELS)
def test_the_table_of_waits_and_real_machines_recover_alike(model: str) -> None:
    conditions, advice = MODELS[model]
    table = simulate(herd_of(200, ours(), 1, advice), conditions)
    machines = simulate(herd_of(200, ours(), 1, advice, machines=True), conditions)
    assert table.back == 200
    # Two roundings of the same moment may fall on both sides of a step.
    assert numbers_of(table) == pytest.approx(numbers_of(machines), rel=0.01)


def test_a_wait_lies_on_the_line_between_the_ends_of_its_window() -> None:
    numbers = settings()
    for attempt in (1, 2, 7, 40, 400):
        ends = delay(numbers, attempt, 0.0, 0.0, 1.5, False), delay(numbers, attempt, 1.0, 0.0, 1.5, False)
        for phase in (0.1, 0.5, 0.9):
            between = (1 - phase) * ends[0] + phase * ends[1]
            assert delay(numbers, attempt, phase, 0.0, 1.5, False) == pytest.approx(between)
            width = delay(numbers, attempt, 1.0, 0.0, 1.5, True)
            for hint in (0.0, 30.0):
                wait = delay(numbers, attempt, phase, hint, 1.5, True)
                assert wait == pytest.approx(hint + phase * width)


def after(outage: float, policy: Policy) -> Recovery:
    runs = [simulate(herd_of(2000, policy, seed), ServerModel(outage)) for seed in range(3)]
    return sorted(runs, key=lambda run: run.evenness)[1]


@pytest.mark.parametrize("outage", [0.0, 1.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0])
def test_a_herd_returns_evenly_after_an_outage_of_any_length(outage: float) -> None:
    assert after(outage, ours()).evenness <= 2.0


@pytest.mark.parametrize("outage", [30.0, 300.0])
def test_after_long_outages_all_are_back_much_sooner_than_with_websockets_and_at_no_higher_peak(
    outage: float,
) -> None:
    theirs = websockets()
    assert theirs is not None
    mine, peer = after(outage, ours()), after(outage, theirs)
    assert mine.t100 <= 0.4 * peer.t100
    assert mine.peak_accepts_per_100ms <= peer.peak_accepts_per_100ms


@pytest.mark.parametrize("outage", [0.0, 20.0, 120.0])
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("whole", [50, 100, 200])
@pytest.mark.parametrize("cost", [0.0, 0.1])
def test_a_herd_without_advice_does_not_keep_its_server_down(
    outage: float, silent: bool, whole: int, cost: float
) -> None:
    model = ServerModel(outage, 5_000 / whole, refusal_cost=cost, silent=silent)
    assert simulate(herd_of(5_000, ours(), 1), model).t100 <= 4 * whole


def test_a_herd_with_advice_comes_as_the_server_asked() -> None:
    recovery = simulate(herd_of(5_000, ours(), 1, 50), ServerModel(0, 5_000 / 50))
    assert recovery.t99 <= 1.5 * 50
    assert recovery.peak_attempts_per_second <= 5_000 / 4
    assert recovery.attempts_per_client == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("outage", [0.0, 20.0, 120.0])
@pytest.mark.parametrize("advice", [None, 25.0, 50.0])
def test_a_hub_that_limits_has_a_herd_back_in_half_as_much_more_time_as_it_takes_to_serve_it(
    outage: float, advice: float | None
) -> None:
    capacity = 5_000 / 50
    model = ServerModel(outage, capacity, refusal_cost=0.1, admission=0.9 * capacity)
    recovery = simulate(herd_of(5_000, ours(), 1, advice), model)
    assert recovery.t99 <= 1.5 * 50
