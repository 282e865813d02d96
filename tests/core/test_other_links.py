"""What happens to a link that is not the current one changes nothing."""

import pytest
from tests.core.life import EVERY


@pytest.mark.parametrize("state", list(EVERY))
@pytest.mark.parametrize("distance", [-1, 1])
def test_what_happens_to_another_link_changes_nothing(state: str, distance: int) -> None:
    life = EVERY[state]()
    other = life.machine.link + distance
    before = {
        name: str(vars(value) if name == "liveness" else value) for name, value in vars(life.machine).items()
    }
    life.now += 1
    life.tell("opened", other)
    life.machine.heard(life.now, other)
    life.tell("reading_paused", other)
    life.machine.paused = True
    life.tell("reading_resumed", other)
    assert life.machine.paused is True
    life.machine.paused = before["paused"] == "True"
    life.tell("unacknowledged", other, 9, 0.25)
    life.tell("lost", other, 1006, 9.0, True)
    assert life.did() == []
    after = {
        name: str(vars(value) if name == "liveness" else value) for name, value in vars(life.machine).items()
    }
    assert after == before
