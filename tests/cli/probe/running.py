"""Probes a server within a test; what is "hush" in these tests is a secret, which no report may show."""

import argparse
import asyncio
import json
import socket
import ssl
from collections.abc import Coroutine
from typing import Any

from tests.watch import Watch

from websocket_heartbeat.cli import probe
from websocket_heartbeat.cli.probe.report import Report
from websocket_heartbeat.cli.probe.text import render

SLOW = 20.0
"""Seconds that suffice for anything on loopback."""


def run(main: Coroutine[Any, Any, None]) -> None:
    Watch().run(main, asyncio.run)


async def probed(url: str, *arguments: str, context: ssl.SSLContext | None = None) -> Report:
    """Probe a server on this loop; check what holds for every report."""
    parser = argparse.ArgumentParser()
    probe.add_arguments(parser)
    report = await probe.report_on(parser.parse_args([url, *arguments]), context)
    text = render(report)
    for shown in (text, json.dumps(report.document())):
        assert "hush" not in shown
    assert max(len(line) for line in text.splitlines() if "connect(" not in line) <= 80
    first = text.splitlines()
    assert first[0].startswith("Fine" if report.ok else "Not well")
    if report.problems:
        assert first[2].startswith(f"  problem: {report.problems[0][:20]}")
    return report


def only_problem(report: Report) -> str:
    """Return the problem, of which there is one; what comes after it was not tried."""
    (problem,) = report.problems
    return problem


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
