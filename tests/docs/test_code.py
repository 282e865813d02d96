"""The code of every page runs as it stands there, in both languages, and prints what the page says."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, ENGLISH, ROOT, blocks
from tests.docs.running import run_page
from tests.docs.translated import has_code_of
from tools.translations import translation_of

OTHERWISE = {
    "monitoring.md": "tests/monitoring/test_docs.py",
    "server/effects.md": "tests/project/test_shown_code.py, tests/server/sessions/test_transactions.py",
    "server/websockets.md": "tests/server/links/test_docs.py",
    "testing.md": "tests/testing/test_documentation.py",
    "session.md": "says what a protocol is",
    "state-diagram.md": "is a diagram",
    "probe.md": "shows reports",
    "cluster.md": "tests/cluster, and tests/server/sessions/test_valkey_operations.py",
    "command-line.md": "tests/cli/test_command_line_page.py",
}
"""Pages whose code other tests run."""

HERE = [ROOT / "README.md"] + [page for page in ENGLISH if page.relative_to(DOCS).as_posix() not in OTHERWISE]
ELSEWHERE = [ROOT / "js" / "README.md", *(DOCS / page for page in OTHERWISE)]


def translations(pages: list[Path]) -> Iterator[tuple[Path, Path]]:
    for page in pages:
        if translation_of(page).exists():
            yield translation_of(page), page


RUN = HERE + [file for file, page in translations(HERE) if not has_code_of(file, page)]
"""Pages to run. A translation that has the code of its page says nothing new."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.docs.example_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


@pytest.mark.parametrize("page", sorted(OTHERWISE))
def test_the_python_of_a_page_that_other_tests_run_is_python(page: str) -> None:
    for block in blocks(DOCS / page):
        if block.language == "python":
            compile(block.text, f"{page}:{block.line}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(("translation", "page"), [*translations(ELSEWHERE)], ids=lambda path: path.name)
def test_the_translation_of_a_page_that_other_tests_run_has_its_code(translation: Path, page: Path) -> None:
    assert has_code_of(translation, page)


def test_a_translation_has_the_code_of_its_page_only_if_no_more_than_words_differ(tmp_path: Path) -> None:
    page, translation = tmp_path / "a.md", tmp_path / "a.zh.md"
    code = '```python\nprint(f"link {a}", 1)  # why\n```\n\n```text\nlink 1\n```\n'
    page.write_text(code, encoding="utf-8")

    def has(old: str, new: str) -> bool:
        translation.write_text(code.replace(old, new), encoding="utf-8")
        return has_code_of(translation, page)

    assert has("link", "链路")
    assert has("  # why", "")
    assert not has('"link', '"a link')
    assert not has("link {a}", "链路 {b}")
    assert not has(", 1", ", 2")
    assert not has("text", "console")
    assert not has("```text\nlink 1\n```\n", "")


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, port: int) -> None:
    run_page(page, tmp_path, port)
