"""The code of every page runs as it stands there, in both languages, and prints what the page says."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, PAGES, ROOT, blocks
from tests.docs.running import run_page

OTHERWISE = {
    "guide.md": "tests/project/test_guide.py, tests/dialects",
    "monitoring.md": "tests/monitoring/test_docs.py",
    "server.md": "tests/project/test_guide.py, tests/server/{frameworks,links}/test_docs.py",
    "testing.md": "tests/testing/test_documentation.py",
    "session.md": "says what a protocol is",
    "state-diagram.md": "is a diagram",
    "probe.md": "shows reports",
    "cluster.md": "tests/cluster, and tests/server/sessions/test_valkey_operations.py",
    "command-line.md": "tests/cli/test_command_line_page.py",
}
"""Pages whose code other tests run."""

RUN = [ROOT / "README.md", ROOT / "README.zh.md"] + [
    page for page in PAGES if page.relative_to(DOCS).as_posix() not in OTHERWISE
]


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


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, port: int) -> None:
    run_page(page, tmp_path, port)
