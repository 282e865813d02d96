"""A healthy client and our server never part, whoever of them talks."""

from benchmarks.agreement import CLIENTS, IDLE_TIMEOUT, TRAFFIC, agree
from tests.watch import Run


def test_no_healthy_client_loses_its_link_in_any_traffic(run: Run) -> None:
    async def main() -> None:
        pairs = await agree(2.5 * IDLE_TIMEOUT)
        assert len(pairs) == len(CLIENTS) * len(TRAFFIC)
        for pair in pairs:
            assert (pair.lost, pair.opened, pair.reasons) == (0, 1, ()), pair
            assert (pair.heard > 0) == TRAFFIC[pair.traffic][1], pair

    run(main())
