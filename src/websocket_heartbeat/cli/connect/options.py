"""The options of connect, and the connection that they ask for."""

import argparse
from pathlib import Path

from websocket_heartbeat import client
from websocket_heartbeat.cli import dashboard, reaching
from websocket_heartbeat.cli.arguments import WrongArgument, message, retries, seconds, url, wait
from websocket_heartbeat.config import Heartbeat
from websocket_heartbeat.engines.base import Engine

MAX_SIZE = 2**26
"""Bytes of the largest message: a person wants to see what a server sends, and has one connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.usage = "%(prog)s [options] URL"
    parser.add_argument(
        "url", type=url, metavar="URL", help="ws://..., wss://... or localhost:8765; wss:// for other names"
    )
    group = parser.add_argument_group("messages")
    group.add_argument(
        "-x",
        "--execute",
        type=message,
        action="append",
        default=[],
        metavar="TEXT",
        help="send it on every link, also after a reconnect, and read no input; may be repeated",
    )
    group.add_argument(
        "-w",
        "--wait",
        type=wait,
        default=1.0,
        metavar="SECONDS",
        help="how long to wait for answers after the end of input (default: 1); -1: for ever",
    )
    group.add_argument(
        "--binary", action="store_true", help="lines are hexadecimal digits, sent as binary messages"
    )
    group.add_argument(
        "--json", action="store_true", help="print all that happens as JSON, one event per line"
    )
    group.add_argument("--no-history", action="store_true", help="keep no history of what is typed")
    group.add_argument(
        "-v", "--verbose", action="store_true", help="print what the library logs on standard error too"
    )
    dashboard.add_arguments(group)
    way = reaching.add_arguments(parser)
    way.add_argument("--unix", type=Path, metavar="PATH", help="connect to this Unix socket")
    group = parser.add_argument_group("heartbeats, retries and sessions")
    defaults = Heartbeat()
    group.add_argument(
        "--heartbeat",
        type=message,
        metavar="TEXT",
        help="the heartbeat's text message, whose answers are printed (default: a ping of the protocol)",
    )
    group.add_argument(
        "--interval",
        type=seconds(),
        default=defaults.interval,
        metavar="SECONDS",
        help=f"after how much silence to send a heartbeat (default: {defaults.interval:g})",
    )
    group.add_argument(
        "--timeout",
        type=seconds(),
        default=defaults.timeout,
        metavar="SECONDS",
        help=f"how long to wait for its answer (default: {defaults.timeout:g})",
    )
    group.add_argument(
        "--retries",
        type=retries,
        metavar="N",
        help="give up after so many retries in a row (default: never); 0: no retry",
    )
    group.add_argument(
        "--session",
        choices=("prefer", "require"),
        default="off",
        help="carry messages across links, none lost and none doubled, if the server can",
    )
    group.add_argument("--compression", action="store_true", help="offer permessage-deflate")


def make_connection(arguments: argparse.Namespace, engine: Engine) -> client.Connection:
    """Return the connection that is asked for.

    Raises:
        WrongArgument: the options do not fit together.
    """
    try:
        return client.connect(
            arguments.url,
            additional_headers=reaching.headers(arguments),
            subprotocols=arguments.subprotocol,
            heartbeat=Heartbeat(arguments.interval, arguments.timeout, arguments.heartbeat),
            max_retries=arguments.retries,
            max_size=MAX_SIZE,
            compression=arguments.compression,
            ssl=reaching.context(arguments),
            proxy=arguments.proxy or True,
            unix_path=arguments.unix,
            engine=engine,
            session=arguments.session,
        )
    except ValueError as error:
        raise WrongArgument(str(error)) from None
