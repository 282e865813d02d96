"""`serve` is for trying things out: pages of every origin may connect."""

from tests.cli.test_serve_and_connect import server
from websockets.sync.client import connect
from websockets.typing import Origin


def test_a_page_of_any_origin_is_served() -> None:
    with server("--port", "0") as (_, url):
        for origin in ("https://elsewhere.example", "null", "file://"):
            with connect(url, origin=Origin(origin)) as ws:
                ws.send("hello")
                assert ws.recv() == "hello"
