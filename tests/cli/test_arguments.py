"""A wrong argument ends the program with status 2 and a text that names it and its value, but no secret."""

import os

import pytest
from tests.cli.program import finish, start
from tools.es5 import bundle

from websocket_heartbeat.cli import COMMANDS, main
from websocket_heartbeat.version import __version__


@pytest.fixture(autouse=True, scope="module")
def built() -> None:
    """The command `js` copies what was built."""
    bundle.write()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["demo", "--seconds", "3"], ["--seconds", "at least 15", "'3'"]),
        (["demo", "--seconds", "nan"], ["--seconds", "'nan'"]),
        (["demo", "--seconds", "soon"], ["--seconds", "'soon'"]),
        (["demo", "--seed", "1.5"], ["--seed", "'1.5'"]),
        (["serve", "--port", "65536"], ["--port", "not 65536"]),
        (["serve", "--port", "-1"], ["--port", "not -1"]),
        (["serve", "--idle-timeout", "0"], ["--idle-timeout", "'0'"]),
        (["connect"], ["URL"]),
        (["connect", "http://localhost"], ["URL", "ws://", "http://localhost"]),
        (["connect", "ws:/localhost"], ["URL", "ws://", "wss://example.com/feed"]),
        (["connect", "http:localhost"], ["URL", "ws://", "wss://example.com/feed"]),
        (["probe", "exam ple.com/feed"], ["URL", "spaces"]),
        (["connect", "ws://localhost:99999"], ["URL", "99999", "65535"]),
        (["connect", "ws://local host"], ["URL", "spaces"]),
        (["connect", "ws://localhost", "--interval", "-1"], ["--interval", "'-1'"]),
        (["connect", "ws://localhost", "--timeout", "inf"], ["--timeout", "'inf'"]),
        (["probe", "ws://localhost", "--timeout", "10000"], ["--timeout", "at most 3600", "Then write 10"]),
        (["connect", "ws://localhost", "--wait", "-2"], ["--wait", "at least 0", "'-2'; -1: for ever"]),
        (["connect", "ws://localhost", "--header", "Authorization"], ["--header", "NAME:VALUE"]),
        (["connect", "ws://localhost", "--header", "two words:x"], ["--header", "two"]),
        (["connect", "ws://localhost", "--header", "Upgrade: h2c"], ["--header", "Upgrade"]),
        (["connect", "ws://localhost", "--interval", "1e12"], ["--interval", "one year", "'1e12'"]),
        (["connect", "ws://localhost", "--heartbeat", "\udcff"], ["--heartbeat", "UTF-8"]),
        (["probe", "ws://localhost", "--timeout", "1e12"], ["--timeout", "one year", "'1e12'"]),
        (["serve", "--idle-timeout", "1e300"], ["--idle-timeout", "one year", "'1e300'"]),
        (["serve", "--heartbeat", "\udcff"], ["--heartbeat", "UTF-8"]),
        (["demo", "--seconds", "1e9"], ["--seconds", "one year", "'1e9'"]),
        (["connect", "ws://localhost", "--retries", "-1"], ["--retries", "at least 0", "-1"]),
        (["connect", "ws://localhost", "--origin", "\u4e2d"], ["--origin", "ASCII"]),
        (["connect", "ws://localhost", "--key", "k.pem"], ["--key", "--cert"]),
        (["connect", "ws://localhost", "--ca", "/no/ca.pem"], ["--ca", "/no/ca.pem", "no such file"]),
        (["connect", "ws://localhost", "--cert", "/no/c.pem"], ["--cert", "/no/c.pem", "no such file"]),
        (["connect", "ws://localhost", "--auth", "me"], ["--auth", "USER:PASSWORD"]),
        (["connect", "ws://localhost", "--unix", "/s", "--proxy", "http://p:1"], ["proxy", "unix_path"]),
        (["connect", "ws://localhost", "--binary", "-x", "xyz"], ["--execute", "hexadecimal"]),
        (["completion", "tcsh"], ["SHELL", "'tcsh'", "bash"]),
        (["fly"], ["command", "'fly'"]),
        (["conect"], ["'conect'", "did you mean connect?"]),
        (["wss://example.com"], ["did you mean connect?"]),
        (["serve", "--hearbeat", "x"], ["--hearbeat", "did you mean --heartbeat?"]),
        (["probe", "ws://localhost", "--heart", "x"], ["--heart", "did you mean --heartbeat?"]),
        (["connect", "ws://localhost", "-Zx"], ["no option -Z"]),
        (["--verison"], ["--verison", "did you mean --version?"]),
        (["--json=1", "connect", "ws://localhost"], ["no option --json"]),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(
    arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    for part in [*named, "--help explains"]:
        assert part in shown.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["ws://localhost", "--header", "Token: hush\nhush"],
        ["ws://localhost", "--header", "hush"],
        ["http://somebody:hush@localhost/?token=hush"],
        ["http:somebody:hush@localhost/?token=hush"],
        ["somebody:hush@local host/?token=hush"],
        ["ws://localhost", "--header", "Authorization:", "Bearer", "hush"],
        ["ws://localhost", "--tokn=hush"],
        ["ws://localhost", "-Zhush"],
        ["ws://localhost", "--auth", "me:hush", "--header", "Authorization: hush"],
        ["ws://localhost", "--origin", "hush", "--header", "Origin: hush"],
    ],
)
def test_no_error_shows_a_secret(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["connect", *arguments])
    assert "hush" not in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_in_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "exit status" in out.replace("\n", " ")


@pytest.mark.parametrize("arguments", [["js"], ["probe", "ws://127.0.0.1:1/"], ["serve", "--port", "0"]])
def test_a_reader_that_leaves_early_causes_no_traceback(arguments: list[str]) -> None:
    program = start(*arguments)
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    told = program.stderr.read()
    program.stderr.close()
    assert program.wait(timeout=50) == 1
    assert told == ""


def test_a_missing_rich_is_answered_with_the_install_command() -> None:
    done = finish(start("demo", before="import sys; sys.modules['rich'] = None"))
    assert done.status == 2
    assert "pip install 'websocket-heartbeat[cli]'" in done.err
    assert "Traceback" not in done.err


def test_what_needs_no_rich_works_without_it() -> None:
    done = finish(start("serve", "--help", before="import sys; sys.modules['rich'] = None"))
    assert (done.status, done.err) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
@pytest.mark.parametrize(
    "command", [["js"], ["probe", "ws://127.0.0.1:1/"], ["serve", "--port", "0"]], ids=lambda parts: parts[0]
)
def test_what_cannot_be_printed_is_said_in_one_line(command: list[str]) -> None:
    done = finish(start(*command, before="import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"))
    assert (done.status, done.err) == (1, "websocket-heartbeat: cannot print: No space left on device\n")


@pytest.mark.parametrize(
    "command", [["js"], ["probe", "ws://127.0.0.1:1/"], ["serve", "--port", "0"]], ids=lambda parts: parts[0]
)
def test_a_closed_standard_output_is_one_that_takes_nothing(command: list[str]) -> None:
    done = finish(start(*command, before="import os, sys; os.close(1); sys.stdout = None"))
    assert (done.status, done.err) == (1, "websocket-heartbeat: cannot print: Bad file descriptor\n")


def test_a_closed_standard_error_lets_nothing_into_standard_output() -> None:
    closed = "import os, sys; os.close(2); sys.stderr = None"
    done = finish(start("probe", "ws://127.0.0.1:1/", before=closed))
    assert done.status == 1
    assert done.out.startswith("Not well")
    done = finish(start("js", "--types", before=closed))
    assert (done.status, done.out) == (2, "")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == __version__
