"""One link's liveness: the latest proof of life counts, and says when a ping is due."""

from websocket_heartbeat.core.liveness import Liveness
from websocket_heartbeat.core.settings import Settings


def liveness(both_directions: bool = False) -> Liveness:
    settings = Settings(15.0, 10.0, both_directions, None, 1.0, 60.0, 0, 30.0, 10.0, 5.0, None, None)
    return Liveness(settings, 100.0)


def test_a_new_link_counts_as_heard_and_sent_to_when_it_opened() -> None:
    assert liveness().ping_due() == 115.0
    assert liveness(both_directions=True).ping_due() == 115.0


def test_traffic_puts_off_the_ping() -> None:
    link = liveness()
    link.heard(107.0)
    assert link.ping_due() == 122.0


def test_older_evidence_does_not_replace_newer() -> None:
    link = liveness()
    link.heard(107.0)
    link.heard(103.0)
    assert link.ping_due() == 122.0


def test_a_link_is_quiet_in_both_directions_when_one_of_them_is() -> None:
    link = liveness(both_directions=True)
    link.heard(107.0)
    assert link.ping_due() == 115.0
    link.sent(109.0)
    assert link.ping_due() == 122.0
    link.heard(110.0)
    assert link.ping_due() == 124.0
    link.sent(108.0)
    assert link.ping_due() == 124.0


def test_a_link_is_idle_when_nothing_was_heard_whatever_was_sent() -> None:
    link = liveness(both_directions=True)
    link.sent(110.0)
    assert not link.is_idle(113.4)
    assert link.is_idle(113.5)


def test_a_ping_is_answered_by_what_comes_from_then_on() -> None:
    link = liveness()
    pinged = [link.is_pinged]
    link.pinged(115.0)
    for at in (114.9, 115.0):
        link.heard(at)
        pinged.append(link.is_pinged)
    assert pinged == [False, True, False]
