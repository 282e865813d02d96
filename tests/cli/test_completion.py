"""The Tab key completes commands, options and their values in real shells, in a terminal."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import finish, start
from tests.cli.tmux import running
from tests.debian import program
from tests.watch import Watch

pytestmark = pytest.mark.timeout(300)  # shells may have to be installed

SHELLS = {
    "bash": "bash --norc --noprofile",
    "zsh": "zsh -f",
    "fish": "fish --no-config --private",
}
BEFORE = {
    "bash": "",
    "zsh": "autoload -U compinit; compinit -u -D;",
    "fish": "",
}


def run(main: Coroutine[Any, Any, None]) -> None:
    Watch().run(main, asyncio.run)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_values_are_completed(shell: str, tmp_path: Path) -> None:
    program(shell)
    script = tmp_path / "script"
    printed = finish(start("completion", shell))
    assert (printed.status, printed.err) == (0, "")
    script.write_text(printed.out)
    (tmp_path / "a-file.pem").touch()

    async def main() -> None:
        async with running(tmp_path, f"cd {tmp_path}; {SHELLS[shell]}") as screen:
            await screen.enter(f"{BEFORE[shell]} source {script}; echo read''y")
            await screen.seen("ready")
            for typed, completed in (
                ("conn", "connect"),
                ("connect --exec", "connect --execute"),
                ("probe --heartb", "probe --heartbeat"),
                ("js --target brow", "js --target browser"),
                ("connect --session req", "connect --session require"),
                ("completion fi", "completion fish"),
                ("connect --ca a-f", "connect --ca a-file.pem"),
            ):
                await screen.type(f"websocket-heartbeat {typed}")
                await screen.press("Tab")
                await screen.seen(f"websocket-heartbeat {completed}")
                await screen.press("C-u")
            await screen.type("websocket-heartbeat send-away --to")
            await screen.press("Tab")
            shown = await screen.seen("send-away --token-file")
            assert "not found" not in shown.lower()

    run(main())
