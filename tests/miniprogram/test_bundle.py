"""The built files are ES5 that runs anywhere and that people can read, with nothing that a host may lack."""

import gzip
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.conftest import FILES, Npm, installed
from tests.miniprogram.real_hosts import HOSTS
from tools.es5 import bundle
from tools.es5.bundle import CORE, CORE_OF_SESSIONS, EXPORTS, Collision, build, load
from tools.es5.translate import translate

from websocket_heartbeat.cli import js
from websocket_heartbeat.core import machine, resume, session

EVERYWHERE = {"Array", "Date", "Error", "Math", "Object", "String", "Uint8Array", "isNaN", "undefined"}
TIMERS = {"clearTimeout", "setTimeout"}
CORES = {"miniprogram": [machine], "browser": [machine], "session": [session, resume]}
WORDS = {
    "miniprogram": ['var PROBING = "probing";', "Machine.prototype.heard = function (at, link) {"],
    "browser": ['var PROBING = "probing";', "Machine.prototype.heard = function (at, link) {"],
    "session": ['var RESUMED = "resumed";', "Half.prototype.handled = function () {"],
}


@pytest.fixture(scope="module")
def syntax(
    run: Callable[..., Any], built: Path, packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    core = tmp_path_factory.mktemp("core") / "core.js"
    core.write_text(str(translate([load(name) for name in CORE])))
    half = core.with_name("session-core.js")
    half.write_text(str(translate([load(name) for name in CORE_OF_SESSIONS])))
    paths = [*((built / name) for name in FILES), core, half]
    files = [{"path": str(path), "module": path.suffix == ".mjs"} for path in paths]
    results = run("syntax.js", {"acorn": str(packages / "acorn"), "files": files})
    return {path.name: result for path, result in zip(paths, results, strict=True)}


@pytest.mark.parametrize("name", [*FILES, "core.js", "session-core.js"])
def test_every_byte_is_es5(name: str, syntax: Any) -> None:
    assert syntax[name]["error"] is None


@pytest.mark.parametrize("name", FILES)
def test_a_file_asks_for_nothing_that_a_host_may_lack(name: str, syntax: Any) -> None:
    form, target = FILES[name]
    expected = EVERYWHERE | (TIMERS if target != "session" else set())
    if target == "miniprogram":
        expected |= {"Promise"}
    if target == "session":
        # JSON is of ES5, and who has a Blob to send has Blob.
        expected |= {"Promise", "JSON", "Blob"}
    if form == "cjs":
        expected |= {"module"}
    assert set(syntax[name]["names"]) <= expected


def test_the_core_asks_for_nothing_but_the_language(syntax: Any) -> None:
    assert set(syntax["core.js"]["names"] + syntax["session-core.js"]["names"]) <= EVERYWHERE


def test_the_check_of_names_sees_what_is_free(
    run: Callable[..., Any], packages: Path, tmp_path: Path
) -> None:
    file = tmp_path / "free.js"
    file.write_text(
        "function f(a) { var b = window; return typeof c !== 'undefined' ? c : a + b + eval(d.e); }"
    )
    results = run("syntax.js", {"acorn": str(packages / "acorn"), "files": [{"path": str(file)}]})
    assert results == [{"error": None, "names": ["d", "eval", "window"]}]


def test_the_same_sources_give_the_same_bytes() -> None:
    first = {target: build(target, minify=True) for target in EXPORTS}
    bundle.translated.cache_clear()
    assert {target: build(target, minify=True) for target in EXPORTS} == first


def test_the_command_line_knows_the_names_that_the_targets_define() -> None:
    assert js.EXPORTS == EXPORTS


@pytest.mark.parametrize("target", EXPORTS)
@pytest.mark.parametrize("minify", [False, True])
def test_a_file_begins_with_its_licence(target: bundle.Target, minify: bool) -> None:
    assert re.match(r"/\*! websocket-heartbeat [\d.]+ \| MIT License \*/\n", build(target, minify=minify))


@pytest.mark.parametrize("target", EXPORTS)
def test_a_person_can_read_the_file(target: bundle.Target) -> None:
    lines = build(target).splitlines()
    assert max(map(len, lines)) <= 120
    comments = [line for line in lines if re.match(r" *(//|/?\*)", line)]
    assert len(comments) > len(lines) / 6
    for word in (*WORDS[target], " * Rules"):
        assert word in lines


@pytest.mark.parametrize("target", EXPORTS)
def test_the_rules_in_the_file_are_those_of_the_core(target: bundle.Target) -> None:
    for core in CORES[target]:
        header = core.__doc__ or ""
        assert "".join(f" * {line}".rstrip() + "\n" for line in header.splitlines()) in build(target)


def test_a_minified_file_keeps_the_names_that_its_types_tell_users() -> None:
    for target in ("miniprogram", "browser"):
        types = (bundle.BUILT / f"{target}.d.ts").read_text()
        task = re.search(r"(?:interface Task|declare class \w+) \{(.*?)\n\}", types, re.S)
        assert task is not None
        names = set(re.findall(r"^  (?:readonly )?(\w+)[:(]", task[1], re.M)) - {"constructor"}
        assert len(names) > 15
        minified = build(target, minify=True)
        # Hooks are looked up by name: "on" + "Open", or "on" + "Open".toLowerCase().
        assert {name for name in names if not re.search(rf"\b{name}\b", minified)} == set()


def test_a_minified_file_shortens_no_name_that_foreign_objects_have_too() -> None:
    foreign = set().union(*(bundle.translated(target).foreign for target in EXPORTS))
    for target in EXPORTS:
        short = bundle.short_names(bundle.translated(target), target)
        # What the library and the script of sessions call of each other is foreign to each of them.
        assert {"onclose", "close", "link_is_open", "heard"} <= foreign
        assert foreign & set(short) == set()
        assert len(short) > 60
        assert len({*short.values()}) == len(short)


def test_a_name_that_is_defined_by_hand_and_by_a_portable_module_is_refused() -> None:
    program = bundle.translated("browser")
    scripts = bundle.handwritten("browser")
    bundle.check(program, scripts)
    with pytest.raises(Collision, match=r"^delay is defined by hand and again$"):
        bundle.check(program, [*scripts, "function delay() {\n}\n"])
    with pytest.raises(Collision, match=r"^read is defined by hand and again$"):
        bundle.check(program, [*scripts, "var read = 1;\n"])


def test_a_function_that_is_declared_and_not_written_by_hand_is_refused() -> None:
    program = bundle.translated("browser")
    with pytest.raises(Collision, match=r"^no hand-written script defines .*web_socket"):
        bundle.check(program, bundle.handwritten("miniprogram"))


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


def test_the_table_of_sizes_is_true(node: str, npm: Npm, tmp_path: Path) -> None:
    table = (Path(__file__).parents[2] / "js" / "README.md").read_text()
    esbuild = str(installed(npm, HOSTS) / "esbuild" / "bin" / "esbuild")
    for target, row in zip(EXPORTS, ("mini programs", "pages", "sessions, for both"), strict=True):
        module = tmp_path / f"{target}.mjs"
        module.write_text(js.library("esm", target))
        options = ("--bundle", "--minify", "--format=esm", "--legal-comments=none")
        bundled = subprocess.run(
            [node, esbuild, str(module), *options], capture_output=True, timeout=50, check=True
        ).stdout
        codes = (js.library("cjs", target, minify=True).encode(), bundled)
        sizes = [size for code in codes for size in (len(code), len(gzip.compress(code, 9, mtime=0)))]
        said = re.search(rf"^\| {row} \| ([\d ]+) / ([\d ]+) \| ([\d ]+) / ([\d ]+) \|", table, re.MULTILINE)
        assert said is not None
        # Not every zlib zips alike, and not every change is worth a new figure.
        assert [int(figure.replace(" ", "")) for figure in said.groups()] == pytest.approx(sizes, rel=0.02)
