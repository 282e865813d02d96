"""The dashboard for Grafana, and the alerts of the docs, against what a service exports under losses."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.watch import PATIENCE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "grafana"
OURS = re.compile(r"\bwebsocket_heartbeat_\w+")
OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that a scrape adds, and that of the buckets of a histogram."""

Exported = dict[str, set[str]]
"""By the name of a sample, all labels that its series have."""


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLE / "dashboard.json").read_text(encoding="utf-8"))
    return loaded


def expressions() -> dict[str, str]:
    """Return every expression, by where it is."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    }
    found |= {each["name"]: each["definition"] for each in dashboard()["templating"]["list"][1:]}
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    for group in yaml.safe_load(rules)["groups"]:
        found |= {rule["alert"]: rule["expr"] for rule in group["rules"]}
    return found


def names_and_labels(expression: str) -> list[tuple[str, set[str]]]:
    """Return each metric of an expression with the labels by which it is selected or summed."""
    by = {label for found in re.findall(r"\bby \(([^)]*)\)", expression) for label in found.split(", ")}
    rest = re.sub(r"\bby \([^)]*\)", "", expression)
    found = []
    for name, selector in re.findall(r"\b(websocket_heartbeat_\w+)(\{[^}]*\})?(?=[\s\[),]|$)", rest):
        labels = set(re.findall(r"(\w+)\s*[=!]", re.sub(r'"[^"]*"', "", selector)))
        found.append((name, (by | labels) - OF_PROMETHEUS))
    return found


@pytest.fixture(scope="module")
def exported() -> Iterator[Exported]:
    """Run the example until it exports all that is asked for, or for long enough."""
    wanted = {name for each in expressions().values() for name, _ in names_and_labels(each)}
    command = [sys.executable, "-W", "error", str(EXAMPLE / "service.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            deadline = time.monotonic() + 2 * PATIENCE
            found: Exported = {}
            while wanted - set(found) and time.monotonic() < deadline:
                time.sleep(0.2)
                found = scraped(url)
            yield found
        finally:
            program.kill()


def scraped(url: str) -> Exported:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        text = answer.read().decode()
    found: Exported = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_expression_names_metrics_and_labels_that_are_really_exported(exported: Exported) -> None:
    for where, expression in expressions().items():
        asked = names_and_labels(expression)
        assert asked, f"{where}: {expression}"
        for name, labels in asked:
            assert name in exported, f"{where} asks for {name}, which nobody exports"
            assert labels <= exported[name], f"{where}: {name} has no {labels - exported[name]}"


def test_every_metric_that_is_exported_is_on_the_dashboard(exported: Exported) -> None:
    shown = {name for each in expressions().values() for name in OURS.findall(each)}
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported if OURS.match(name)}
    assert len(ours) > 20
    assert {name for name in ours if not any(each.startswith(name) for each in shown)} == set()


def test_what_is_exported_names_no_single_client(exported: Exported) -> None:
    labels = set().union(*(exported[name] for name in exported if OURS.match(name)))
    scope = {"otel_scope_name", "otel_scope_schema_url", "otel_scope_version"}
    assert labels - scope - {"le"} == {
        "server_address",
        "server_port",
        "error_type",
        "websocket_heartbeat_connection_state",
        "websocket_heartbeat_session_event",
        "websocket_heartbeat_session_state",
    }


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    loaded = dashboard()
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(loaded)
    assert "id" not in loaded, "which would be that of another Grafana"
    ids = [panel["id"] for panel in loaded["panels"]]
    assert len(ids) == len(set(ids))
    for panel in loaded["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
