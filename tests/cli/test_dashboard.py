"""--dashboard of commands: it tells its URL, which is the same after a restart and known to nobody else."""

import re
import socket
import urllib.request
from pathlib import Path

from tests.cli.program import discard, finish, start


def url_told(*arguments: str, state: Path) -> tuple[str, str]:
    """Run a command until it tells the URL of its dashboard; return that, and its page."""
    before = f"import os; os.environ['XDG_STATE_HOME'] = {str(state)!r}"
    program = start(*arguments, before=before)
    assert program.stderr is not None
    try:
        for line in program.stderr:
            found = re.search(r"dashboard: (http://\S+)", line)
            if found is not None:
                with urllib.request.urlopen(found[1], timeout=30) as answer:
                    return found[1], answer.read().decode()
    finally:
        discard(program)
    raise AssertionError("the command has told no URL")


def test_serve_connect_and_demo_tell_where_their_dashboard_is(tmp_path: Path) -> None:
    at = ("--dashboard-at", "127.0.0.1:0")
    for command in (("serve", "--port", "0"), ("connect", "ws://127.0.0.1:9"), ("demo",)):
        url, page = url_told(*command, *at, state=tmp_path)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", url)
        assert "<title>Cardiogram</title>" in page


def test_the_url_is_the_same_after_a_restart_and_its_token_is_in_a_file_for_this_user_alone(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    serve = ("serve", "--port", "0", "--dashboard-at", f":{port}")
    urls = [url_told(*serve, state=tmp_path)[0] for _ in range(2)]
    assert urls[0] == urls[1]
    file = tmp_path / "websocket-heartbeat" / "dashboard-token"
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("short")
    assert url_told(*serve, state=tmp_path)[0] != urls[0]


def test_an_address_that_cannot_be_listened_on_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        result = finish(start("serve", "--port", "0", "--dashboard-at", f"127.0.0.1:{port}"))
    assert result.status == 2
    assert f"the dashboard cannot listen on 127.0.0.1 port {port}: address already in use" in result.err
    result = finish(start("serve", "--dashboard-at", "here"))
    assert result.status == 2
    assert "--dashboard-at: must be HOST:PORT or :PORT, not 'here'" in result.err
