"""The peers in JavaScript, which npm installs in a folder that is no part of the project."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.npm import find_node, run_npm


class NodePeers:
    """Those of one comparison. folder: where they are. packages: their versions, by name."""

    def __init__(self, folder: Path, packages: Mapping[str, str]) -> None:
        self.folder = folder
        self.packages = packages

    def install(self) -> str | None:
        """Install those that are missing; return why that was not possible."""
        if all((self.folder / "node_modules" / name).exists() for name in self.packages):
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"private": True, "dependencies": dict(self.packages)})
        (self.folder / "package.json").write_text(text)
        try:
            run_npm("install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=self.folder)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            return f"npm install failed: {str(error).strip()[-200:]}"
        return None

    def version(self, package: str) -> str | None:
        """Return the installed version."""
        manifest = self.folder / "node_modules" / package / "package.json"
        return str(json.loads(manifest.read_text())["version"]) if manifest.exists() else None


def node_version() -> str:
    """Return the version of Node."""
    done = subprocess.run([find_node(), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().removeprefix("v")
