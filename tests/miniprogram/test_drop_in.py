"""The built files stand in for the originals: what their users rely on holds, and what is wrong is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUBJECTS = [
    "promises",
    "attempts",
    "dialogue",
    "dialects",
    "sending",
    "telling",
    "names",
    "renewing",
    "parting",
]
"""Scripts in node/, each of which says in its first line what it is about."""


@pytest.mark.parametrize("subject", SUBJECTS)
def test_users_of_the_originals_find_what_they_rely_on(
    subject: str, run: Callable[..., Any], built: Path
) -> None:
    paths = {"miniprogram": str(built / "miniprogram.js"), "browser": str(built / "browser.js")}
    results = run(f"{subject}.js", paths)
    assert len(results) > 8
    assert {name: error for name, error in results.items() if error is not None} == {}
