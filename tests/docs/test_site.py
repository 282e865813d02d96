"""The site is built without a warning, needs no other host, and refers to every public name and field."""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, ENGLISH, ROOT
from tools.draw_states import FIGURE, digest
from tools.reference import listed
from tools.site import leading

MODULES = (
    "websocket_heartbeat",
    *(f"websocket_heartbeat.{name}" for name in ("sync", "server", "testing", "otel", "channels")),
)
REPOSITORY = "https://example.org/project"


def public() -> Iterator[tuple[str, object]]:
    for module in MODULES:
        loaded = importlib.import_module(module)
        for name in loaded.__all__:
            yield f"{module}.{name}", getattr(loaded, name)


def anchors(site: Path) -> set[str]:
    pages = (site / "reference").glob("*.html")
    return {found for page in pages for found in re.findall(r' id="([\w.]+)"', page.read_text("utf-8"))}


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    assert {name for name, _ in public()} - anchors(site) == set()


def test_every_field_of_every_event_and_every_public_method_is_in_the_reference(site: Path) -> None:
    wanted = set()
    for name, value in public():
        if not inspect.isclass(value):
            continue
        if dataclasses.is_dataclass(value):
            wanted |= {f"{name}.{field.name}" for field in dataclasses.fields(value)}
        own = vars(value)
        wanted |= {
            f"{name}.{member}"
            for member, what in own.items()
            if not member.startswith("_") and (inspect.isfunction(what) or isinstance(what, property))
        }
    assert len(wanted) > 100
    assert wanted - anchors(site) == set()


def test_a_reader_needs_no_other_host(site: Path) -> None:
    fetched = re.compile(
        r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//'
        r'|<link[^>]* href="(?:https?:)?//[^"]*"[^>]*(?:stylesheet|icon|preconnect)'
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 80
    assert [page.name for page in pages if fetched.search(page.read_text(encoding="utf-8"))] == []
    # mkdocs-material asks this host for the stars of a project, if it is told of one.
    assert 'data-md-component="source"' not in (site / "index.html").read_text(encoding="utf-8")
    # It fetches what draws such a block.
    assert 'class="mermaid"' not in (site / "state-diagram.html").read_text(encoding="utf-8")


def test_every_page_has_a_place_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = set(re.findall(r"[\w/-]+\.md", navigation))
    assert named == {page.relative_to(DOCS).as_posix() for page in ENGLISH}


def test_what_is_seen_and_what_it_means_is_the_same_in_both_languages(site: Path) -> None:
    english, chinese = (
        re.findall(r'<h2 id="([^"]+)"', (site / page).read_text(encoding="utf-8"))
        for page in ("troubleshooting.html", "zh/troubleshooting.html")
    )
    assert chinese == english
    assert len(english) > 35


def test_the_figure_of_the_states_is_that_of_the_page() -> None:
    assert f"<!-- drawn from {digest()} -->" in FIGURE.read_text(encoding="utf-8"), (
        "python -m tools.draw_states"
    )


def test_links_out_of_the_docs_lead_to_pages_made_of_that_file_or_to_the_repository() -> None:
    def led(link: str, page: str = "docs/how-to/x.md") -> str:
        return leading(f"[x]({link})", page, page, REPOSITORY)

    assert led("login.md#on-the-server") == "[x](login.md#on-the-server)"
    assert led("../../js/README.md#options") == "[x](../reference/javascript.md#options)"
    assert led("../../examples/chat") == f"[x]({REPOSITORY}/tree/main/examples/chat)"
    assert led("../../Makefile") == f"[x]({REPOSITORY}/blob/main/Makefile)"
    assert led("https://example.com/") == "[x](https://example.com/)"
    assert (
        leading("```md\n[x](../y)\n```\n", "docs/x.md", "docs/x.md", REPOSITORY) == "```md\n[x](../y)\n```\n"
    )


def test_a_docstring_that_explains_names_is_a_list_of_them() -> None:
    explained = "A thing.\n\na, b: two\n    more.\nc: three.\n\n"
    text = explained + "Raises:\n    ValueError, TypeError: wrong;\n        again.\n    and as `f`.\n"
    assert listed(text).splitlines() == [
        "A thing.",
        "",
        "",
        "- `a`, `b`: two",
        "    more.",
        "- `c`: three.",
        "",
        "**Raises:**",
        "",
        "- `ValueError`, `TypeError`: wrong;",
        "        again.",
        "- and as `f`.",
    ]


LINKED = [
    *(ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / "js").glob("README*.md"),
    *sorted((ROOT / "examples").rglob("*.md")),
]


def repository() -> str:
    found = re.search(r"repository: &repository (\S+)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("file", LINKED, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_the_links_of_a_file_beside_the_site_lead_somewhere(file: Path) -> None:
    address = repository()
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", file.read_text(encoding="utf-8")):
        inside = re.match(rf"{re.escape(address)}/(?:blob|tree|raw)/main/(.+)", target)
        if inside is None and re.match("https?:|mailto:", target):
            continue
        led = ROOT / inside[1] if inside else (file.parent / target).resolve() if target else file
        assert led.exists(), target
        if anchor and led.suffix == ".md":
            text = led.read_text(encoding="utf-8")
            slugs = {
                re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
                for heading in re.findall(r"^#+ (.*)", text, re.M)
            } | set(re.findall(r'<a id="([\w-]+)">', text))
            assert anchor in slugs, f"{target}#{anchor}"
