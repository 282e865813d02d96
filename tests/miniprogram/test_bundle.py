"""The built files are ES5 that runs anywhere: small, always the same bytes, with nothing a host may lack."""

import gzip
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.core.compiled import compile_modules
from tests.miniprogram.conftest import FILES

from websocket_heartbeat.miniprogram import bundle
from websocket_heartbeat.miniprogram.bundle import CORE, build, load

EVERYWHERE = {"Date", "Error", "Math", "Object", "String", "Uint8Array", "isNaN", "undefined"}
TIMERS = {"clearTimeout", "setTimeout"}

LARGEST: dict[bundle.Target, tuple[int, int]] = {"miniprogram": (9_000, 3_500), "browser": (7_000, 3_050)}
"""Bytes of the minified files, as they are and zipped."""


@pytest.fixture(scope="module")
def syntax(
    run: Callable[..., Any], built: Path, packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    core = tmp_path_factory.mktemp("core") / "core.js"
    core.write_text(compile_modules([load(name) for name in CORE]))
    paths = [*((built / name) for name in FILES), core]
    files = [{"path": str(path), "module": path.suffix == ".mjs"} for path in paths]
    results = run("syntax.js", {"acorn": str(packages / "acorn"), "files": files})
    return {path.name: result for path, result in zip(paths, results, strict=True)}


@pytest.mark.parametrize("name", [*FILES, "core.js"])
def test_every_byte_is_es5(name: str, syntax: Any) -> None:
    assert syntax[name]["error"] is None


@pytest.mark.parametrize("name", FILES)
def test_a_file_asks_for_nothing_that_a_host_may_lack(name: str, syntax: Any) -> None:
    expected = EVERYWHERE | TIMERS
    if FILES[name][1] == "miniprogram":
        expected |= {"Promise"}
    if FILES[name][0] == "cjs":
        expected |= {"module"}
    assert set(syntax[name]["names"]) <= expected


def test_the_core_asks_for_nothing_but_the_language(syntax: Any) -> None:
    assert set(syntax["core.js"]["names"]) <= EVERYWHERE


def test_the_check_of_names_sees_what_is_free(
    run: Callable[..., Any], packages: Path, tmp_path: Path
) -> None:
    file = tmp_path / "free.js"
    file.write_text(
        "function f(a) { var b = window; return typeof c !== 'undefined' ? c : a + b + eval(d.e); }"
    )
    results = run("syntax.js", {"acorn": str(packages / "acorn"), "files": [{"path": str(file)}]})
    assert results == [{"error": None, "names": ["d", "eval", "window"]}]


def test_the_same_arguments_give_the_same_bytes() -> None:
    first = {name: build(*of, minify=True) for name, of in FILES.items()}
    bundle._body.cache_clear()
    assert {name: build(*of, minify=True) for name, of in FILES.items()} == first


def test_a_file_begins_with_its_licence_and_holds_nobody_elses_code() -> None:
    for form, target in FILES.values():
        assert build(form, target, minify=True).startswith("/*! websocket-heartbeat ")
        assert "MIT License */" in build(form, target).splitlines()[0]
        for name in ("_pymeth_", "_pyfunc_op_equals", "_pyfunc_op_instantiate"):
            assert name not in build(form, target)


@pytest.mark.parametrize(
    "code",
    [
        "const f = require(FILE); if (f !== f.default) throw 1; print(f)",
        "import(FILE).then((m) => print(m.default))",
    ],
)
def test_a_common_js_file_loads_by_require_and_by_import(code: str, node: str, built: Path) -> None:
    assert loaded(node, code, built / "miniprogram.js") == "function"


def test_a_module_exports_its_function_by_default_and_by_name(node: str, built: Path) -> None:
    code = "import(FILE).then((m) => print(m.default === m.WebsocketHeartbeat && m.default))"
    assert loaded(node, code, built / "module.mjs") == "function"


def test_a_page_gets_the_constructor_by_a_script_tag(node: str, built: Path) -> None:
    code = "require('vm').runInThisContext(require('fs').readFileSync(FILE)); print(WebsocketHeartbeatJs)"
    assert loaded(node, code, built / "page.js") == "function"


def loaded(node: str, code: str, file: Path) -> str:
    script = f"const FILE = {str(file)!r}; const print = (value) => console.log(typeof value);\n{code}"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_files_grow_no_larger_than_they_may_and_the_table_of_sizes_is_true() -> None:
    table = (Path(__file__).parents[2] / "js" / "README.md").read_text()
    for target, largest in LARGEST.items():
        code = build("cjs", target, minify=True).encode()
        sizes = (len(code), len(gzip.compress(code, 9, mtime=0)))
        assert sizes[0] <= largest[0], target
        assert sizes[1] <= largest[1], f"{target}: python tools/names.py may help"
        row = {"miniprogram": "mini programs", "browser": "pages"}[target]
        said = re.search(rf"^\| {row} \| ([\d ]+) / ([\d ]+) \|", table, re.MULTILINE)
        assert said is not None
        # Not every zlib zips alike.
        assert [int(figure.replace(" ", "")) for figure in said.groups()] == pytest.approx(sizes, rel=0.005)
