"""Prints what makes a shell complete this command line with the Tab key.

It knows every command and option of this version: print it again after an
update. The exit status is 0, or 2 if an argument is wrong.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from websocket_heartbeat.cli.output import show

HELP = "print what makes bash, zsh or fish complete commands and options"

EXAMPLES = """\
websocket-heartbeat completion bash >> ~/.bashrc
websocket-heartbeat completion zsh >> ~/.zshrc    # after compinit
websocket-heartbeat completion fish >> ~/.config/fish/config.fish
"""

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class _Option:
    """An option of a command, or, without names, what stands at a place.

    value: what its value is called, None if it takes none; choices: all values, if they are known.
    """

    names: list[str]
    help: str
    value: str | None
    choices: list[str]
    is_file: bool
    is_repeated: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(arguments: argparse.Namespace) -> int:
    """Print it; return 0."""
    commands = _commands(arguments.whole)
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell]
    show("\n".join(write(commands)))
    return 0


@dataclass(frozen=True)
class _Command:
    """A command and what it takes; the options are sorted by their names."""

    name: str
    help: str
    options: list[_Option]


def _commands(parser: argparse.ArgumentParser) -> list[_Command]:
    # argparse has no public way to ask for what was declared.
    (subparsers,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in subparsers._choices_actions}
    return [_Command(name, helps[name], _options(command)) for name, command in subparsers.choices.items()]


def _options(parser: argparse.ArgumentParser) -> list[_Option]:
    return [
        _Option(
            names=list(action.option_strings),
            help=(action.help or "").partition(" (")[0].partition(";")[0],
            value=None if action.nargs == 0 else str(action.metavar or action.dest),
            choices=[str(choice) for choice in action.choices or ()],
            is_file=action.type is Path,
            is_repeated=isinstance(action, argparse._AppendAction),
        )
        for action in parser._actions
    ]


def _bash(commands: list[_Command]) -> Iterator[str]:
    names = " ".join(command.name for command in commands)
    yield "_websocket_heartbeat() {"
    yield "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
    yield "    COMPREPLY=()"
    yield "    if ((COMP_CWORD == 1)); then"
    yield f'        COMPREPLY=($(compgen -W "{names} --help --version" -- "$current"))'
    yield "        return"
    yield "    fi"
    yield '    case "${COMP_WORDS[1]} $before" in'
    for command in commands:
        for option in command.options:
            pattern = "|".join(f'"{command.name} {name}"' for name in option.names)
            if option.value is None or not pattern:
                continue
            if option.choices:
                words = " ".join(option.choices)
                yield f'        {pattern}) COMPREPLY=($(compgen -W "{words}" -- "$current")); return ;;'
            elif option.is_file:
                files = 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$current"))'
                yield f"        {pattern}) {files}; return ;;"
            else:
                yield f"        {pattern}) return ;;"
    yield "    esac"
    yield '    case "${COMP_WORDS[1]}" in'
    for command in commands:
        words = " ".join(_words(command))
        yield f'        {command.name}) COMPREPLY=($(compgen -W "{words}" -- "$current")) ;;'
    yield "    esac"
    yield "}"
    yield "complete -F _websocket_heartbeat websocket-heartbeat"


def _words(command: _Command) -> Iterator[str]:
    for option in command.options:
        yield from option.names or option.choices


def _zsh(commands: list[_Command]) -> Iterator[str]:
    yield "#compdef websocket-heartbeat"
    yield "_websocket_heartbeat() {"
    yield '    local curcontext="$curcontext" state state_descr line'
    yield "    typeset -A opt_args"
    yield "    _arguments -C '(- *)'{-h,--help}'[explain]' '(- *)--version[print it and exit]' \\"
    yield "        '1: :->command' '*:: :->arguments'"
    yield "    case $state in"
    yield "        command)"
    yield "            local -a commands=("
    for command in commands:
        yield f"                {_quoted(command.name + ':' + command.help)}"
    yield "            )"
    yield "            _describe command commands ;;"
    yield "        arguments)"
    yield "            case $words[1] in"
    for command in commands:
        yield f"                {command.name}) _arguments -s \\"
        for option in command.options:
            yield f"                    {_zsh_option(option)} \\"
        yield "                    ;;"
    yield "            esac ;;"
    yield "    esac"
    yield "}"
    yield 'if [[ $funcstack[1] == _websocket-heartbeat ]]; then _websocket_heartbeat "$@"'
    yield "else compdef _websocket_heartbeat websocket-heartbeat; fi"


def _zsh_option(option: _Option) -> str:
    values = ""
    if option.value is not None:
        how = f"({' '.join(option.choices)})" if option.choices else "_files" if option.is_file else ""
        values = f":{_escaped(option.value)}:{how}"
    if not option.names:
        # Where nothing is known, zsh would rather say so than complete an option.
        return _quoted(f"1{values}" if option.choices else f"1{values}()")
    explained = f"[{_escaped(option.help)}]{values}"
    if len(option.names) == 1:
        return _quoted(f"{'*' if option.is_repeated else ''}{option.names[0]}{explained}")
    alternatives = "{" + ",".join(option.names) + "}"
    first = "'*'" if option.is_repeated else _quoted(f"({' '.join(option.names)})")
    return f"{first}{alternatives}{_quoted(explained)}"


def _escaped(text: str) -> str:
    """Return text without what means something to zsh's _arguments."""
    return re.sub(r"[:\[\]]", r"\\\g<0>", text)


def _fish(commands: list[_Command]) -> Iterator[str]:
    yield "complete -c websocket-heartbeat -f"
    none = "-n __fish_use_subcommand"
    yield f"complete -c websocket-heartbeat {none} -s h -l help -d explain"
    yield f"complete -c websocket-heartbeat {none} -l version -d 'print it and exit'"
    for command in commands:
        yield f"complete -c websocket-heartbeat {none} -a {command.name} -d {_quoted(command.help)}"
        given = f"-n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            if not option.names:
                if option.choices:
                    yield f"complete -c websocket-heartbeat {given} -a '{' '.join(option.choices)}'"
                continue
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
            )
            takes = ""
            if option.value is not None:
                takes = (
                    f" -x -a '{' '.join(option.choices)}'"
                    if option.choices
                    else " -r"
                    if not option.is_file
                    else " -r -F"
                )
            yield f"complete -c websocket-heartbeat {given} {names}{takes} -d {_quoted(option.help)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
