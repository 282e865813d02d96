"""The table of docs/server/conformance.md that says what holds on which server."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime

from tests.server.conformance.checks import CHECKS, Check
from tests.server.conformance.servers import ROOT, SERVERS

PAGE = ROOT / "docs" / "server" / "conformance.md"
_BEGIN = "<!-- Written by `make conformance`. -->\n"
_END = "<!-- End of what is written by `make conformance`. -->\n"


def head() -> str:
    """Return the line of the columns."""
    return "| | " + " | ".join(kind.name for kind in SERVERS) + " |"


def row(check: Check, table: Mapping[str, Mapping[str, str]]) -> str:
    """Return the line of a check; what falls short of the best is bold."""
    cells = [table[kind.name][check.name] for kind in SERVERS]
    shown = [cell if not check.best or cell == check.best else f"**{cell}**" for cell in cells]
    return f"| {check.name} | " + " | ".join(shown) + " |"


def write(table: Mapping[str, Mapping[str, str]]) -> None:
    """Replace the table in the page; `table` has the cells by the name of the server."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    versions = ", ".join(dict.fromkeys(f"{kind.package} {kind.version}" for kind in SERVERS))
    lines = [
        f"Run on {datetime.now(UTC):%Y-%m-%d} with {versions}; {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}. What falls short is bold.",
        "",
        head(),
        "|---" * (len(SERVERS) + 1) + "|",
        *(row(check, table) for check in CHECKS.values()),
        "",
        *(f"- *{check.name}*: {check.meaning}" for check in CHECKS.values()),
    ]
    PAGE.write_text(before + _BEGIN + "\n".join(lines) + "\n" + _END + after)
