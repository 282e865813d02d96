"""Builds what `websocket-heartbeat js` copies and what the npm package in js/ ships."""

import shutil
import sys
from pathlib import Path

from tools.es5.bundle import write
from websocket_heartbeat.cli.js import EXPORTS, library, types

ROOT = Path(__file__).parents[1]

BOTH = {
    "index.js": """\
module.exports = require("./miniprogram.js");
module.exports.default = module.exports;
module.exports.WebsocketHeartbeatJs = require("./browser.js");
""",
    "index.mjs": """\
export { default } from "./miniprogram.mjs";
export { default as WebsocketHeartbeatJs } from "./browser.mjs";
""",
    "index.d.ts": """\
export { default } from "./miniprogram.js";
export * from "./miniprogram.js";
export { default as WebsocketHeartbeatJs } from "./browser.js";
""",
    "index.d.mts": """\
export { default } from "./miniprogram.mjs";
export * from "./miniprogram.mjs";
export { default as WebsocketHeartbeatJs } from "./browser.mjs";
""",
}


def main(package: Path) -> None:
    write()
    dist = package / "dist"
    copied = package / "miniprogram_dist"
    dist.mkdir(parents=True, exist_ok=True)
    copied.mkdir(parents=True, exist_ok=True)
    for target in EXPORTS:
        (dist / f"{target}.js").write_text(library("cjs", target))
        (dist / f"{target}.mjs").write_text(library("esm", target))
        for suffix in (".d.ts", ".d.mts"):
            (dist / f"{target}{suffix}").write_text(types(target))
    (dist / "websocket-heartbeat.min.js").write_text(library("iife", "browser", minify=True))
    for name, text in BOTH.items():
        (dist / name).write_text(text)
    # WeChat's build-npm copies this folder as it is.
    (copied / "index.js").write_text(library("cjs", "miniprogram", minify=True))
    shutil.copyfile(ROOT / "LICENSE", package / "LICENSE")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "js")
