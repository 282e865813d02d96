"""What docs/monitoring.md shows runs as it stands there, and its tables list what there is."""

import ast
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import Meter, NoOpMeter, NoOpMeterProvider
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, connect, otel
from websocket_heartbeat.client import evidence
from websocket_heartbeat.core import machine
from websocket_heartbeat.server import Hub, serve

SOURCE = Path(__file__).parents[2] / "src" / "websocket_heartbeat"
LEVELS = {"debug", "info", "warning", "error", "log", "write"}
PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")


def block(words: str) -> str:
    """Return the Python code that has these words."""
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if words in code]
    return str(found)


def first_column(heading: str) -> set[str]:
    """Return what the first column of the table below a heading has in backquotes."""
    table = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def run_program(*parts: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(parts)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


ATTEMPT = """
import asyncio
from websocket_heartbeat import connect
async def main():
    async with connect("ws://127.0.0.1:1/", name="prices") as connection:
        while connection.state != "waiting":
            await asyncio.sleep(0.01)
asyncio.run(main())
"""


def test_what_prometheus_scrapes() -> None:
    code = block("start_http_server").replace("start_http_server(9464", "server, _ = start_http_server(0")
    scrape = "import urllib.request\nurl = f'http://127.0.0.1:{server.server_port}/metrics'"
    done = run_program(code, ATTEMPT, scrape, "print(urllib.request.urlopen(url).read().decode())")
    assert "websocket_heartbeat_client_attempt_duration_seconds_count" in done.stdout
    assert "websocket_heartbeat_client_retries_total" in done.stdout


def test_one_line_instruments_a_program() -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert code.count("\n") == 3
    run_program(code, ATTEMPT)


def test_lines_as_json() -> None:
    done = run_program(block("JsonFormatter"), ATTEMPT)
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert (line["level"], line["logger"]) == ("WARNING", "websocket_heartbeat")
    assert line["connection"] == "prices"
    assert line["error_type"] == "connection_refused"


RAISING = """
import asyncio
from websocket_heartbeat.server import serve
from websocket_heartbeat import connect
def raising(peer, message):
    raise TypeError("the text")
async def main():
    async with serve(raising) as server, connect(server.url()) as connection:
        await connection.send("x")
asyncio.run(main())
"""


@pytest.mark.parametrize("first", ["", "import websocket_heartbeat.server\n"], ids=["before", "after"])
def test_texts_are_logged_whether_the_level_is_set_before_the_import_or_after(first: str) -> None:
    done = run_program(first + block("logging.basicConfig()"), RAISING)
    assert "raised TypeError: the text" in done.stderr


def test_the_tables_list_every_instrument() -> None:
    made: set[str] = set()

    class Noting(NoOpMeter):
        """Notes what is created."""

        def __getattribute__(self, name: str) -> Any:
            create = super().__getattribute__(name)
            if not name.startswith("create_"):
                return create

            def note(instrument: str, *arguments: Any, **options: Any) -> Any:
                made.add(instrument)
                return create(instrument, *arguments, **options)

            return note

    class Provider(NoOpMeterProvider):
        def get_meter(self, name: str, *arguments: Any, **options: Any) -> Meter:
            return Noting(name)

    otel.instrument(meter_provider=Provider())
    otel.uninstrument()
    listed = {
        name if name.startswith("websocket_heartbeat.") else f"websocket_heartbeat.{side}.{name}"
        for side, heading in (
            ("client", "of clients, `websocket_heartbeat.client.`"),
            ("server", "of hubs and servers, `websocket_heartbeat.server.`"),
        )
        for name in first_column(f"{heading} | kind, unit | what")
    }
    assert listed == made


def test_the_table_of_classes_lists_every_class() -> None:
    causes = {
        evidence.NO_LOSS.kind(cause)
        for cause in (
            machine.HEARTBEAT_TIMEOUT,
            machine.PATH_DEAD,
            machine.OPEN_TIMEOUT,
            machine.MESSAGE_TIMEOUT,
            machine.RECONNECT_REQUESTED,
            machine.REJECTED,
            machine.DISMISSED,
        )
    }
    listed = first_column("class | the link or the attempt ended because")
    statuses = {each for each in listed if each.isdecimal()}
    others = {kind for _, kind in evidence._KINDS} | {"cancelled", "_OTHER"}
    assert listed - statuses == causes | others


def test_every_field_of_a_line_is_in_the_table(run_asyncio: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="websocket_heartbeat")

    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with serve(hub=hub) as server:
            soon = Backoff(initial=0.02)
            async with connect(server.url(), session="prefer", backoff=soon) as connection:
                await connection.send("hello")
                await connection.recv()
                hub.peers[0].abort()
                await until(lambda: connection.stats.links == 2)
            async with connect(server.url(), backoff=soon) as plain:
                await plain.wait_open(PATIENCE)
                hub.peers[-1].abort()
                await until(lambda: plain.stats.links == 2)
        await hub.close()

    run_asyncio(main())
    plain = {*vars(logging.makeLogRecord({})), "message"}
    lines = [record for record in caplog.records if record.name.startswith("websocket_heartbeat")]
    used = {name for record in lines for name in vars(record)} - plain
    assert len(used) > 15
    assert used <= first_column("field | of | what")


def lines_of_the_log() -> Iterator[tuple[ast.Module, ast.Call]]:
    """Yield each call that writes a line with arguments, and the module that it is in."""
    for path in sorted(SOURCE.rglob("*.py")):
        if not {"cli", "miniprogram"} & set(path.relative_to(SOURCE).parts):
            module = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(module):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    is_log = re.fullmatch(r"(.*\.)?_?log(ger)?", ast.unparse(node.func.value))
                    if is_log and node.func.attr in LEVELS and len(node.args) > 1:
                        yield module, node


def keys(module: ast.Module, extra: ast.expr) -> set[str]:
    """Return the fields of a line that its module writes down, there or under a name."""
    if isinstance(extra, ast.Dict):
        return {
            key.value for key in extra.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
    if not isinstance(extra, ast.Name):
        return set()
    named = [node for node in ast.walk(module) if isinstance(node, ast.Assign)]
    values = [node.value for node in named if ast.unparse(node.targets[0]) == extra.id]
    return {key for value in values if isinstance(value, ast.Dict) for key in keys(module, value)}


def test_every_line_that_has_facts_has_them_as_fields_that_the_table_lists() -> None:
    listed = first_column("field | of | what")
    count = 0
    for module, call in lines_of_the_log():
        extras = [each.value for each in call.keywords if each.arg == "extra"]
        assert extras, f"no extra= in {ast.unparse(call)}"
        assert keys(module, extras[0]) <= listed, ast.unparse(call)
        count += 1
    assert count > 40
