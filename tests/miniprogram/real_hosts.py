"""Bundles the hosts of Taro and uni-app, as their own tools would, for tests in Node and in browsers."""

import subprocess
from pathlib import Path
from typing import Final

HOSTS: Final = Path(__file__).parent / "real"

_TARO_FLAGS: Final = (
    "INNER_HTML",
    "ADJACENT_HTML",
    "CLONE_NODE",
    "CONTAINS",
    "MUTATION_OBSERVER",
    "SIZE_APIS",
    "TEMPLATE_CONTENT",
    "COOKIE",
)

_ENTRIES: Final = {
    "taro-h5.js": (
        "export * from '@tarojs/taro-h5/dist/api/network/websocket/index.js'",
        ["--global-name=Taro"]
        + [f"--define:ENABLE_{flag}=false" for flag in _TARO_FLAGS]
        + ['--define:process.env.TARO_ENV="h5"', '--define:process.env.TARO_PLATFORM="web"'],
    ),
    "taro-mini.js": ("export * from '@tarojs/shared/dist/native-apis.js'", ["--global-name=TaroShared"]),
    "uni-h5.js": (
        "export { connectSocket } from 'uni-h5-vue3'",
        [
            "--global-name=uni",
            '--define:process.env.NODE_ENV="production"',
            "--alias:vue=@dcloudio/uni-h5-vue/dist/vue.runtime.esm.js",
        ],
    ),
}


def bundle(node: str, modules: Path, target: Path) -> None:
    """Write taro-h5.js, taro-mini.js and uni-h5.js: scripts that define Taro, TaroShared and uni."""
    for name, (entry, options) in _ENTRIES.items():
        command = [node, str(modules / "esbuild" / "bin" / "esbuild"), "--bundle", "--format=iife", *options]
        command += [f"--outfile={target / name}", "--log-level=error"]
        done = subprocess.run(
            command, input=entry, cwd=modules.parent, capture_output=True, text=True, timeout=50
        )
        assert (done.returncode, done.stderr) == (0, "")
