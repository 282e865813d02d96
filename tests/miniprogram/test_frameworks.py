"""What frameworks do to programs, and what ours does then: the state of Vue 3, and h5 by Taro and uni-app."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_connection_in_the_state_of_vue_is_the_object_itself(
    run: Callable[..., Any], built: Path, packages: Path
) -> None:
    paths = {name: str(built / f"{name}.js") for name in ("miniprogram", "browser", "session")}
    results = run("vue.js", {**paths, "vue": str(packages / "@vue/reactivity")})
    assert len(results) == 5
    assert {name: error for name, error in results.items() if error is not None} == {}


def test_a_page_stands_in_for_a_host_whose_functions_were_left_out(
    run: Callable[..., Any], built: Path
) -> None:
    results = run("emptied.js", {"miniprogram": str(built / "miniprogram.js")})
    assert len(results) == 8
    assert {name: error for name, error in results.items() if error is not None} == {}
