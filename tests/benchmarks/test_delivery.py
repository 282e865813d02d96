"""The comparison of what arrives can fail: it counts right, and with a session of ours nothing is missing."""

import asyncio

from benchmarks.delivery.chaos import Count, Line, Result, Trial, tally, timetable
from benchmarks.delivery.contestants import CONTESTANTS
from benchmarks.delivery.report import markdown


def test_what_is_lost_doubled_and_late_is_counted() -> None:
    assert tally(5, [1, 2, 3, 4, 5], [], 5) == Count(sent=5, lost=0, doubled=0, late=0, is_whole=True)
    assert tally(5, [1, 3, 3, 2, 2, 2], [], 6) == Count(sent=5, lost=2, doubled=3, late=1, is_whole=False)
    assert tally(5, [1, 2, 3], [4], 5).lost == 1  # of 4 nobody can say whether it was sent


def test_the_faults_are_the_same_for_all_and_end_with_a_network_that_works() -> None:
    lines = timetable(3, 20, 2)
    assert lines == timetable(3, 20, 2)
    assert lines != timetable(4, 20, 2)
    assert [name for _, name, *_ in lines].count("restart") == 2
    assert lines[-1][1] == "heal"
    assert [at for at, *_ in lines] == sorted(at for at, *_ in lines)


def test_nothing_is_lost_or_doubled_with_our_session_and_the_loss_without_one_is_seen() -> None:
    lines: list[Line] = [
        (0.3, "freeze", "both"),
        (0.8, "reset"),
        (0.8, "thaw", "both"),
        (1.2, "reset"),
        (1.3, "heal"),
    ]

    async def run() -> list[Result]:
        trials = [Trial(contestant, 200, 0.01, lines) for contestant in CONTESTANTS[:2]]
        return await asyncio.gather(*(trial.run() for trial in trials))

    with_session, without = asyncio.run(run())
    for count in (with_session.up, with_session.down):
        assert count == Count(sent=200, lost=0, doubled=0, late=0, is_whole=True)
    assert with_session.links >= 3
    assert without.up.lost > 0
    assert without.down.lost > 0
    assert without.up.doubled == without.down.doubled == 0


def test_the_page_names_what_a_contestant_lost() -> None:
    whole = Count(sent=9, lost=0, doubled=0, late=0, is_whole=True)
    holed = Count(sent=8, lost=3, doubled=1, late=2, is_whole=False)
    facts: dict[str, object] = dict.fromkeys(
        ["date", "seconds", "faults", "count", "seed", "python", "node", "system", "cores", "load"], "x"
    )
    page = markdown(
        {0: {CONTESTANTS[0].name: Result(whole, holed, 4, 1.0, "")}},
        CONTESTANTS[:1],
        facts | {"length": 40.0, "delay": 20.0, "rate": 100.0},
    )
    assert f"| {CONTESTANTS[0].name} | 4 | 0 | 0 | **3** of 8 sent | **1**, 2 late |" in page
