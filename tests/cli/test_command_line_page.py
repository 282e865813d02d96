"""docs/command-line.md shows what the commands really print, and names every option, and no other."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.program import ENVIRONMENT, PATIENCE
from tests.cli.test_serve_and_connect import server
from tests.cli.test_terminal import run
from tests.cli.tmux import screen
from tests.docs.pages import DOCS, Block, blocks
from tools.es5 import bundle

from websocket_heartbeat.cli import COMMANDS, make_parser

PAGE = DOCS / "command-line.md"
CONSOLE = [block for block in blocks(PAGE) if block.language == "console"]
OURS = 'websocket-heartbeat() { "$PYTHON" -m websocket_heartbeat "$@"; }; exec 2>&1;'

pytestmark = pytest.mark.timeout(300)  # tmux may have to be installed


def options(command: str) -> set[str]:
    """Return the options of a command, but for --help."""
    parser = make_parser()
    (commands,) = (action for action in parser._actions if action.dest == "==SUPPRESS==")
    assert isinstance(commands.choices, dict)
    names = {name for action in commands.choices[command]._actions for name in action.option_strings}
    return names - {"-h", "--help"}


def without_numbers(text: str) -> str:
    """Return text in which times are all the same."""
    text = re.sub(r'"time": "[^"]+"', '"time": ""', text)
    return re.sub(r"[0-9.]+ ms", "N ms", text)


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: f"line {block.line}")
def test_what_a_console_shows_is_what_is_printed(block: Block, tmp_path: Path) -> None:
    bundle.write()
    commands = [line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ ")]
    wanted = "".join(line for line in block.text.splitlines(keepends=True) if not line.startswith("$ "))
    with server("--port", "0") as (_, url):
        port = url.rstrip("/").rpartition(":")[2]
        script = "\n".join(commands).replace("localhost:8765", f"localhost:{port}")
        done = subprocess.run(
            ["bash", "-c", OURS + script],
            cwd=tmp_path,
            env=ENVIRONMENT | {"PYTHON": sys.executable},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert without_numbers(done.stdout) == without_numbers(wanted)


def test_the_talk_on_a_terminal_looks_so(tmp_path: Path) -> None:
    (block,) = (block for block in blocks(PAGE) if block.language == "text")
    wanted = without_numbers(block.text)

    async def main() -> None:
        with server("--port", "0") as (_, url):
            place = f"localhost:{url.rstrip('/').rpartition(':')[2]}"
            async with screen(tmp_path, "connect", place) as shown:
                await shown.seen("is open")
                await shown.enter("hello")
                await shown.seen("< hello")
                await shown.enter("/ping")
                await shown.seen("pong after")
                await shown.enter("/close")
                text = await shown.seen("status 0")
                told = without_numbers(text.replace(place, "localhost:8765"))
                assert told[: told.index("status 0")] == wanted

    run(main())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_on_the_page(command: str) -> None:
    text = PAGE.read_text()
    section = re.split(rf"^## {command}$", text, flags=re.M)[1]
    section = re.split(r"^## ", section, flags=re.M)[0]
    long = {name for name in options(command) if name.startswith("--")}
    assert {name for name in long if not re.search(rf"{name}\b", section)} == set()
    named = set(re.findall(r"`(--[a-z-]+)", section)) | set(re.findall(r", `?(--[a-z-]+)", section))
    assert named <= long | {"--no-history"} or command == "completion", named - long


def test_every_example_is_understood() -> None:
    parser = make_parser()
    lines = [line for module in COMMANDS.values() for line in module.EXAMPLES.splitlines()]
    lines += [line for block in blocks(PAGE) if block.language == "sh" for line in block.text.splitlines()]
    assert len(lines) > 15
    for line in lines:
        command = re.split(r" [|>]", line.partition("websocket-heartbeat ")[2])[0]
        parser.parse_args(shlex.split(command, comments=True))
