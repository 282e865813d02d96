"""What happens to a link that is gone, or was never opened, changes nothing."""

from collections.abc import Callable

import pytest
from tests.core.life import EVERY, Life, almost_renewed, renewing
from tests.core.referee import ABOUT_A_LINK, contents

LIVES: dict[str, Callable[[], Life]] = {**EVERY, "renewing": renewing, "almost renewed": almost_renewed}


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("state", LIVES)
@pytest.mark.parametrize(("happened", "arguments"), ABOUT_A_LINK)
def test_what_happens_to_another_link_changes_nothing(
    state: str, paused: bool, happened: str, arguments: tuple[object, ...]
) -> None:
    life = LIVES[state]()
    if paused:
        life.tell("reading_paused", 1)
    before = contents(life.machine)
    life.now += 1
    for link in (-1, 0, life.machine.last_link + 1):
        if link != life.machine.link:
            assert life.tell(happened, link, *arguments) == []
    assert contents(life.machine) == before


@pytest.mark.parametrize("state", ["waiting", "failed"])
@pytest.mark.parametrize(("happened", "arguments"), ABOUT_A_LINK)
def test_what_happens_to_the_link_that_was_lost_last_changes_nothing(
    state: str, happened: str, arguments: tuple[object, ...]
) -> None:
    life = EVERY[state]()
    before = contents(life.machine)
    life.now += 1
    assert life.tell(happened, life.machine.link, *arguments) == []
    assert contents(life.machine) == before
