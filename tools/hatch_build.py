"""Builds the JavaScript that the package ships, so that installing it needs no compiler."""

import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class JavaScriptBuildHook(BuildHookInterface):
    """Writes each target's script beside its types, for wheels, editable installs and source archives."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the files."""
        sys.path.insert(0, self.root)
        from tools.es5.bundle import write

        write()
