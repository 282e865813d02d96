"""Draws the diagram of docs/state-diagram.md for the site: `python -m tools.draw_states MERMAID`.

MERMAID is dist/mermaid.min.js of the npm package mermaid. Chromium draws, and docs/figures/state-diagram.svg
is what it has drawn, with the digest of what it was drawn from. So the site needs no program from elsewhere.
"""

import argparse
import re
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "state-diagram.md"
FIGURE = ROOT / "docs" / "figures" / "state-diagram.svg"

_DRAW = """async (code) => {
    mermaid.initialize({ startOnLoad: false, theme: "neutral", htmlLabels: false, fontFamily: "sans-serif" });
    return (await mermaid.render("states", code)).svg;
}"""


def diagram() -> str:
    """Return the diagram of the page, as mermaid has it."""
    found = re.search(r"^```mermaid\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


def digest() -> str:
    """Return what the figure says that it was drawn from."""
    return sha256(diagram().encode()).hexdigest()


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description="Draw docs/figures/state-diagram.svg.")
    parser.add_argument("mermaid", type=Path, help="dist/mermaid.min.js of the npm package mermaid")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright
    from tests.miniprogram.chromium import executable

    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=executable()).new_page()
        page.add_script_tag(path=arguments.mermaid)
        svg = page.evaluate(_DRAW, diagram())
    # White beneath it, as its lines are black.
    svg = svg.replace("max-width:", "background: white; max-width:", 1)
    FIGURE.write_text(f"{svg}\n<!-- drawn from {digest()} -->\n", encoding="utf-8")


if __name__ == "__main__":
    main()
