"""Builds what `websocket-heartbeat js` copies and what the npm package in js/ ships."""

import json
import shutil
import sys
from pathlib import Path

from tools.es5.bundle import write
from websocket_heartbeat.cli.js import EXPORTS, Target, library, type_names, types

ROOT = Path(__file__).parents[1]

BOTH = {
    "index.js": """\
module.exports = require("./miniprogram.js");
module.exports.WebsocketHeartbeatJs = require("./browser.js");
""",
    "index.mjs": """\
export { default, WebsocketHeartbeat } from "./miniprogram.mjs";
export { default as WebsocketHeartbeatJs } from "./browser.mjs";
""",
}

FOLDERS: tuple[Target, ...] = ("browser", "session")
"""Entries for which there is a folder, too."""


def manifest(target: Target) -> str:
    """The manifest of such a folder, for what does not read "exports" of package.json."""
    main, module, types = (f"../dist/{target}{suffix}" for suffix in (".js", ".mjs", ".d.ts"))
    members = {"main": main, "module": module, "types": types, "sideEffects": False}
    return json.dumps(members, indent=2) + "\n"


def types_of_module() -> str:
    """The types of index.mjs."""
    names = ", ".join(["default as WebsocketHeartbeatJs", *type_names("browser")])
    return "\n".join(
        [
            'export { default } from "./miniprogram.mjs";',
            'export * from "./miniprogram.mjs";',
            f'export {{ {names} }} from "./browser.mjs";',
            "",
        ]
    )


def types_of_common_js() -> str:
    """The types of index.js, which exports one function; all else is in a namespace of its name."""
    lines = [
        'import Program = require("./miniprogram.js");',
        'import Page = require("./browser.js");',
        "declare function WebsocketHeartbeat(options: Program.Options): Promise<Program.Task>;",
        "declare namespace WebsocketHeartbeat {",
        "  export { WebsocketHeartbeat as default, WebsocketHeartbeat, Page as WebsocketHeartbeatJs };",
    ]
    sources: dict[str, Target] = {"Program": "miniprogram", "Page": "browser"}
    for source, target in sources.items():
        lines += [f"  export import {name} = {source}.{name};" for name in type_names(target)]
    return "\n".join([*lines, "}", "export = WebsocketHeartbeat;", ""])


def main(package: Path) -> None:
    write()
    dist = package / "dist"
    copied = package / "miniprogram_dist"
    dist.mkdir(parents=True, exist_ok=True)
    copied.mkdir(parents=True, exist_ok=True)
    for target in EXPORTS:
        (dist / f"{target}.js").write_text(library("cjs", target))
        (dist / f"{target}.mjs").write_text(library("esm", target))
        (dist / f"{target}.d.ts").write_text(types("cjs", target))
        (dist / f"{target}.d.mts").write_text(types("esm", target))
    (dist / "websocket-heartbeat.min.js").write_text(library("iife", "browser", minify=True))
    (dist / "websocket-heartbeat-session.min.js").write_text(library("iife", "session", minify=True))
    for name, text in BOTH.items():
        (dist / name).write_text(text)
    (dist / "index.d.ts").write_text(types_of_common_js())
    (dist / "index.d.mts").write_text(types_of_module())
    # Webpack 4, and moduleResolution node of TypeScript.
    for target in FOLDERS:
        (package / target).mkdir(exist_ok=True)
        (package / target / "package.json").write_text(manifest(target))
    # WeChat's build-npm copies this folder as it is.
    (copied / "index.js").write_text(library("cjs", "miniprogram", minify=True))
    (copied / "session.js").write_text(library("cjs", "session", minify=True))
    shutil.copyfile(ROOT / "LICENSE", package / "LICENSE")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "js")
