"""A connection works in the state of Vue 3, which makes a deep proxy of what it is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_connection_in_the_state_of_vue_is_the_object_itself(
    run: Callable[..., Any], built: Path, packages: Path
) -> None:
    paths = {name: str(built / f"{name}.js") for name in ("miniprogram", "browser", "session")}
    results = run("vue.js", {**paths, "vue": str(packages / "@vue/reactivity")})
    assert len(results) == 5
    assert [f"{name}: {error}" for name, error in results.items() if error is not None] == []
