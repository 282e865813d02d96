"""One link's liveness: the latest proof of life counts, and a ping may keep us waiting for a while."""

from websocket_heartbeat.core.liveness import Liveness
from websocket_heartbeat.core.settings import Settings

SETTINGS = Settings(15.0, 10.0, False, None, 1.0, 60.0, 0, 30.0, 10.0, 5.0, None)


def test_a_new_link_counts_as_heard_when_it_opened() -> None:
    assert Liveness(SETTINGS, 100.0).ping_due() == 115.0


def test_traffic_puts_off_the_ping() -> None:
    liveness = Liveness(SETTINGS, 100.0)
    liveness.heard(107.0)
    assert liveness.ping_due() == 122.0


def test_older_evidence_does_not_replace_newer() -> None:
    liveness = Liveness(SETTINGS, 100.0)
    liveness.heard(107.0)
    liveness.heard(103.0)
    assert liveness.ping_due() == 122.0


def test_a_ping_is_doubted_after_the_patience_it_was_given() -> None:
    liveness = Liveness(SETTINGS, 100.0)
    liveness.pinged(115.0)
    liveness.start_timeout(115.0, 10.0)
    assert liveness.timeout_due() == 125.0


def test_more_patience_with_a_ping_does_not_make_it_a_later_ping() -> None:
    liveness = Liveness(SETTINGS, 100.0)
    liveness.pinged(115.0)
    liveness.start_timeout(120.0, 2.5)
    assert liveness.timeout_due() == 122.5
    assert liveness.pinged_at == 115.0


def test_a_link_that_was_never_pinged_has_the_usual_patience() -> None:
    assert Liveness(SETTINGS, 100.0).timeout_due() == 110.0
