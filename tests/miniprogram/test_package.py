"""The npm package, packed and installed as users get it: it loads wherever they load it, with its types."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.miniprogram.conftest import PACKAGES, Npm, installed
from tests.miniprogram.test_faults import FAULTS
from tools import build_js

from websocket_heartbeat.cli.js import library

SAMPLES = Path(__file__).parent / "types"
CONSUMERS = Path(__file__).parent / "consumers"

PLATFORMS = {
    "strict": True,
    "noEmit": True,
    "target": "es2020",
    "lib": ["es2020", "dom"],
    "types": [],
    "skipDefaultLibCheck": True,  # of TypeScript's own libraries, not of ours: they take a second
}
"""Compiler options of an app. With several platforms skipLibCheck, too: their types contradict each other."""


@pytest.fixture(scope="module")
def tarball(npm: Npm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source: Path = tmp_path_factory.mktemp("source")
    for name in ("package.json", "README.md", "README.zh.md"):
        shutil.copy(PACKAGES / name, source)
    build_js.main(source)
    # Not its prepack, which would build into the repository.
    (packed,) = json.loads(npm("pack", "--json", "--ignore-scripts", cwd=source))
    return source / str(packed["filename"])


@pytest.fixture(scope="module")
def project(npm: Npm, tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's project in which the package is installed."""
    directory: Path = tmp_path_factory.mktemp("project")
    (directory / "package.json").write_text('{"private": true}')
    npm("install", "--offline", "--no-audit", "--no-fund", str(tarball), cwd=directory)
    return directory


@pytest.fixture(scope="module")
def package(project: Path) -> Path:
    return project / "node_modules" / "websocket-heartbeat"


def run(node: str, project: Path, code: str, module: bool = False) -> str:
    """Run the code in the project; return what it prints."""
    file = project / ("main.mjs" if module else "main.cjs")
    file.write_text(code)
    done = subprocess.run([node, str(file)], cwd=project, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


REJECTS = ".then(() => 'resolved', (error) => error.message).then(console.log)"


def test_it_ships_what_its_manifest_names_and_nothing_else(package: Path) -> None:
    manifest = json.loads((package / "package.json").read_text())
    named = re.findall(r'"(?:\./)?(dist/[^"]+)"', json.dumps(manifest))
    assert len(named) > 8
    assert [name for name in named if not (package / name).is_file()] == []
    assert manifest.get("dependencies", {}) == {}
    assert {file.name for file in package.iterdir()} == {
        "package.json",
        "README.md",
        "README.zh.md",
        "LICENSE",
        "dist",
        "browser",
        "session",
        "miniprogram_dist",
    }


def test_require_gives_the_function_and_the_constructor(node: str, project: Path) -> None:
    code = f"""
    const WebsocketHeartbeat = require("websocket-heartbeat");
    const {{ WebsocketHeartbeatJs }} = WebsocketHeartbeat;
    if (WebsocketHeartbeat.default !== WebsocketHeartbeat) throw 1;
    if (WebsocketHeartbeat.WebsocketHeartbeat !== WebsocketHeartbeat) throw 3;
    if (require("websocket-heartbeat/browser") !== WebsocketHeartbeatJs) throw 2;
    if (require("websocket-heartbeat/session")("require").mode !== "require") throw 4;
    try {{ new WebsocketHeartbeatJs({{}}); }} catch (error) {{ console.log(error.message); }}
    WebsocketHeartbeat({{}}){REJECTS};
    """
    assert re.fullmatch("url must be .*\nminiprogram must be .*", run(node, project, code))


def test_import_gives_the_function_and_the_constructor(node: str, project: Path) -> None:
    code = f"""
    import WebsocketHeartbeat, * as all from "websocket-heartbeat";
    import Page from "websocket-heartbeat/browser";
    import Session from "websocket-heartbeat/session";
    if (Page !== all.WebsocketHeartbeatJs) throw 1;
    if (Session("prefer").mode !== "prefer") throw 3;
    if (WebsocketHeartbeat !== all.WebsocketHeartbeat) throw 2;
    WebsocketHeartbeat({{}}){REJECTS};
    """
    assert run(node, project, code, module=True).startswith("miniprogram must be")


@pytest.mark.parametrize(
    "export", ["websocket-heartbeat", "websocket-heartbeat/browser", "websocket-heartbeat/session"]
)
def test_a_worker_without_window_loads_it(export: str, node: str, project: Path) -> None:
    code = f"""
    const {{ Worker }} = require("worker_threads");
    const code = `
        if (typeof window !== "undefined") throw new Error("this is a page");
        require("worker_threads").parentPort.postMessage(typeof require({export!r}));`;
    new Worker(code, {{ eval: true }}).on("message", console.log);
    """
    assert run(node, project, code) == "function"


def test_a_script_tag_gives_a_page_the_constructor(node: str, project: Path, package: Path) -> None:
    # As in a page: window is the global object, there is no module, and the host has the timers.
    script = json.loads((package / "package.json").read_text())["unpkg"]
    code = f"""
    const page = {{ sockets: [], setTimeout, clearTimeout }};
    page.self = page.window = page;
    page.WebSocket = class {{ constructor(url) {{ page.sockets.push(url); }} close() {{}} }};
    const script = require("fs").readFileSync({str(package / script)!r}, "utf8");
    require("vm").runInNewContext(script, page);
    const heartbeat = new page.WebsocketHeartbeatJs({{ url: "wss://example.com/" }});
    console.log(heartbeat.state, page.sockets.join());
    heartbeat.destroy();
    """
    assert run(node, project, code) == "connecting wss://example.com/"


def test_the_folder_that_wechat_copies_is_complete_in_itself(
    node: str, package: Path, tmp_path: Path
) -> None:
    folder = json.loads((package / "package.json").read_text())["miniprogram"]
    copied = tmp_path / "miniprogram_npm" / "websocket-heartbeat"
    shutil.copytree(package / folder, copied)
    assert sorted(file.name for file in copied.iterdir()) == ["index.js", "session.js"]
    assert (copied / "index.js").read_text() == library("cjs", "miniprogram", minify=True)
    assert (copied / "session.js").read_text() == library("cjs", "session", minify=True)
    code = f"""
    const WebsocketHeartbeat = require("./miniprogram_npm/websocket-heartbeat");
    const Session = require("./miniprogram_npm/websocket-heartbeat/session");
    if (Session("prefer").mode !== "prefer") throw 1;
    if (WebsocketHeartbeat.default !== WebsocketHeartbeat) throw 2;
    if (WebsocketHeartbeat.WebsocketHeartbeat !== WebsocketHeartbeat) throw 3;
    if (Session.WebsocketHeartbeatSession !== Session) throw 4;
    WebsocketHeartbeat({{ miniprogram: "wx" }}){REJECTS};
    """
    assert run(node, tmp_path, code).startswith("miniprogram must be")


def compiled(node: str, packages: Path, project: Path, files: list[str], **options: object) -> str:
    """Return what tsc says about files in the project."""
    modules = project / "node_modules"
    for package in packages.iterdir():
        if not (modules / package.name).exists():
            (modules / package.name).symlink_to(package)
    config = {"compilerOptions": {**PLATFORMS, **options}, "files": files}
    (project / "tsconfig.json").write_text(json.dumps(config))
    tsc = [node, str(packages / "typescript" / "bin" / "tsc"), "-p", str(project), "--pretty", "false"]
    return subprocess.run(tsc, cwd=project, capture_output=True, text=True, timeout=50).stdout


def test_the_types_fit_every_platforms_own_types_and_refuse_mistakes(
    node: str, packages: Path, project: Path
) -> None:
    sample = (SAMPLES / "sample.ts").read_text()
    # Beside the sample, the sample without its marks: there every mistake is an error.
    (project / "sample.ts").write_text(sample)
    (project / "bare.ts").write_text(sample.replace("// @ts-expect-error", "// expected"))
    said = compiled(
        node,
        packages,
        project,
        ["sample.ts", "bare.ts"],
        module="esnext",
        moduleResolution="bundler",
        skipLibCheck=True,
    )
    wrong = {int(line) for line in re.findall(r"^bare\.ts\((\d+),", said, re.M)}
    marked = {n for n, line in enumerate(sample.splitlines(), 2) if "@ts-expect-error" in line}
    assert re.findall(r"^(?!bare\.ts).*error.*", said, re.M) == []
    assert wrong == marked


USE = """
const host = { connectSocket() {} };
const session = Session("prefer");
export const task = WebsocketHeartbeat({ miniprogram: host, connectSocketParams: { url: "" }, session });
export const page: WebsocketHeartbeatJs = new Page({ url: "", session });
task.then(({ state }) => state);
"""

ESM = """
import WebsocketHeartbeat, { WebsocketHeartbeatJs } from "websocket-heartbeat";
import Page from "websocket-heartbeat/browser";
import Session from "websocket-heartbeat/session";
"""


WITHOUT_DOM = {"lib": ["es2020"], "skipLibCheck": False}


@pytest.mark.parametrize("more", [{}, WITHOUT_DOM], ids=["with the DOM", "without the DOM"])
@pytest.mark.parametrize(
    ("name", "module", "resolution"),
    [
        ("module.mts", "node16", "node16"),
        ("script.cts", "node16", "node16"),
        ("next.mts", "nodenext", "nodenext"),
        ("bundled.ts", "esnext", "bundler"),
        ("old.ts", "commonjs", "node10"),
        ("older.ts", "esnext", "node10"),
    ],
)
def test_every_way_of_resolving_modules_finds_the_types_and_they_need_no_dom(
    name: str,
    module: str,
    resolution: str,
    more: dict[str, object],
    node: str,
    packages: Path,
    project: Path,
) -> None:
    (project / name).write_text(ESM + USE)
    options = {"module": module, "moduleResolution": resolution, **more}
    assert compiled(node, packages, project, [name], **options) == ""


def test_a_page_without_the_doms_types_still_has_events_with_their_fields(
    node: str, packages: Path, project: Path
) -> None:
    code = """
    import Page from "websocket-heartbeat/browser";
    const heartbeat = new Page({ url: async () => "" });
    heartbeat.onclose = ({ code, reason, wasClean }) => [code + 1, reason.length, wasClean === true];
    heartbeat.ws.binaryType = "arraybuffer";
    // @ts-expect-error: no event has this
    heartbeat.onclose = ({ colour }) => colour;
    """
    (project / "bare.mts").write_text(code)
    options = {"module": "nodenext", "moduleResolution": "nodenext", **WITHOUT_DOM}
    assert compiled(node, packages, project, ["bare.mts"], **options) == ""


@pytest.fixture(scope="module")
def consumers(npm: Npm) -> Path:
    """The packages of consumers/, installed the first time."""
    return installed(npm, CONSUMERS)


def checked(node: str, script: Path, *arguments: str) -> str:
    """Return what a linter says; it must not complain."""
    plain = os.environ | {"NO_COLOR": "1"}  # they colour what they say where CI is set
    done = subprocess.run(
        [node, str(script), *arguments], capture_output=True, text=True, timeout=100, env=plain
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_publint_has_nothing_to_say(node: str, consumers: Path, tarball: Path) -> None:
    said = checked(node, consumers / "publint/src/cli.js", "run", str(tarball), "--strict")
    assert said.strip().endswith("All good!")


def test_arethetypeswrong_finds_nothing(node: str, consumers: Path, tarball: Path) -> None:
    script = consumers / "@arethetypeswrong/cli/dist/index.js"
    found = json.loads(checked(node, script, str(tarball), "--format", "json"))
    assert set(found["analysis"]["entrypoints"]) >= {".", "./browser", "./session"}
    assert found["analysis"]["problems"] == []


def test_webpack_4_bundles_all_entries(node: str, consumers: Path, project: Path, tmp_path: Path) -> None:
    entry = """
    import WebsocketHeartbeat, { WebsocketHeartbeatJs } from "websocket-heartbeat";
    import Page from "websocket-heartbeat/browser";
    import Session from "websocket-heartbeat/session";
    const required = require("websocket-heartbeat/browser");
    const all = [WebsocketHeartbeat, WebsocketHeartbeatJs, Page, Session, required.default];
    console.log(all.map((each) => typeof each).join());
    try { new Page({}); } catch (error) { console.log(error.message); }
    """
    (project / "entry.js").write_text(entry)
    script = f"""
    const options = {{ mode: "production", target: "node", context: {str(project)!r}, entry: "./entry.js",
        output: {{ path: {str(tmp_path)!r}, filename: "bundle.js" }} }};
    require({str(consumers / "webpack")!r})(options, (error, stats) => {{
        if (error || stats.hasErrors()) throw error || new Error(stats.toString());
    }});
    """
    assert run(node, project, script) == ""
    done = subprocess.run([node, str(tmp_path / "bundle.js")], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "function,function,function,function,function"
    assert lines[1].startswith("url must be")


README = (PACKAGES / "README.md").read_text()


def test_the_readme_has_a_line_for_every_fault_that_is_tested() -> None:
    assert re.findall(r"^\| ([BJ]\d+) \|", README, re.M) == FAULTS


def test_the_readmes_samples_are_javascript_and_name_what_there_is(
    node: str, packages: Path, project: Path
) -> None:
    platform = '/// <reference types="miniprogram-api-typings" />\n'
    samples = re.findall(r"^```js\n(.*?)^```", README, re.M | re.S)
    assert len(samples) >= 11
    names = [f"readme{number}.ts" for number in range(len(samples))]
    for name, code in zip(names, samples, strict=True):
        (project / name).write_text(platform + code)
    options = {"module": "nodenext", "moduleResolution": "nodenext", "skipLibCheck": True}
    # All at once, as tsc takes a second to begin; each is a module, so that none sees the names of another.
    assert compiled(node, packages, project, names, moduleDetection="force", **options) == ""


def test_the_readme_lists_every_option_and_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S*) ?\|", README.partition("## Options")[2], re.M))
    types = (PACKAGES.parent / "src/websocket_heartbeat/miniprogram/javascript/miniprogram.d.ts").read_text()
    options = re.search(r"interface Options \{(.*?)\n\}", types, re.S)
    assert options is not None
    assert set(re.findall(r"^  (\w+)\??:", options[1], re.M)) <= set(rows)
    for default, name in re.findall(r"Default (\d+)\. \*/\n  (\w+)\?:", options[1]):
        assert rows[name] == default
