"""The Python form of the mini-program API names an option that is wrong."""

from typing import Any

import pytest
from tests.testing.phone.scene import URL, play

from websocket_heartbeat.miniprogram import Session, WebsocketHeartbeat
from websocket_heartbeat.miniprogram.language import Record
from websocket_heartbeat.testing.phone import Phone


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "miniprogram"),
        ({"miniprogram": "wx"}, "miniprogram"),
        ({"miniprogram": Record(connectSocket=3)}, "miniprogram"),
        ({"miniprogram": Phone().wx}, "connectSocketParams.url"),
        ({"miniprogram": Phone().wx, "connectSocketParams": {}}, "connectSocketParams.url"),
        ({"miniprogram": Phone().wx, "connectSocketParams": {"url": 3}}, "connectSocketParams.url"),
        *[
            ({"miniprogram": Phone().wx, "connectSocketParams": {"url": URL}, name: value}, name)
            for name in ("pingTimeout", "pongTimeout", "reconnectTimeout", "openTimeout", "repeatLimit")
            for value in ("15000", -1, float("nan"), True, [1])
        ],
        *[
            ({"miniprogram": Phone().wx, "connectSocketParams": {"url": URL}, name: value}, name)
            for name, value in (
                ("finalCloseCodes", 4500),
                ("finalCloseCodes", [[4500, None]]),
                ("finalCloseCodes", [True]),
                ("dismissal", 5),
                ("dismissal", "heartbeat"),
                ("session", "prefer"),
                ("session", 3),
            )
        ],
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], word: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=word):
            await WebsocketHeartbeat(options)

    play(main)


@pytest.mark.parametrize("mode", ["off", "", None, True])
def test_a_session_of_no_known_mode_is_refused(mode: Any) -> None:
    with pytest.raises(ValueError, match="mode of a session"):
        Session(mode)


@pytest.mark.parametrize("place", ["x", True, Record(save=print), Record(load=print), Record(save=1, load=2)])
def test_a_place_for_snapshots_that_cannot_save_and_load_is_refused(place: Any) -> None:
    with pytest.raises(ValueError, match="save and load"):
        Session("prefer", Record(snapshot=place))


def test_flush_without_the_option_session_says_what_is_missing() -> None:
    async def main() -> None:
        task = await WebsocketHeartbeat(miniprogram=Phone().wx, connectSocketParams={"url": URL})
        with pytest.raises(ValueError, match="option session"):
            task.flush()
        task.destroy()

    play(main)
