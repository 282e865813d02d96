"""The options of connect and probe that say how a server is reached: header fields, TLS and proxies."""

import argparse
import base64
import getpass
import ssl
import sys
from pathlib import Path

from websocket_heartbeat.cli.arguments import WrongArgument, header, origin, proxy, subprotocol
from websocket_heartbeat.client.evidence import in_words


def add_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Declare them; return the group of those that say which way leads to the server."""
    group = parser.add_argument_group("the handshake")
    group.add_argument(
        "-H",
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header field of the handshake; may be repeated",
    )
    group.add_argument(
        "-s",
        "--subprotocol",
        type=subprotocol,
        action="append",
        default=[],
        metavar="NAME",
        help="a subprotocol to offer; may be repeated, best first",
    )
    group.add_argument(
        "--origin", type=origin, metavar="ORIGIN", help="say that a page of this origin connects"
    )
    group.add_argument(
        "--auth",
        metavar="USER[:PASSWORD]",
        help="log in by HTTP Basic; a password that is left out is asked for",
    )
    group = parser.add_argument_group("the way to the server")
    group.add_argument(
        "--proxy",
        type=proxy,
        metavar="URL",
        help="http://, https://, socks4:// or socks5:// (default: what the environment says)",
    )
    group.add_argument(
        "--ca",
        type=Path,
        metavar="FILE",
        help="certificates of the authorities to trust (PEM), in place of the system's",
    )
    group.add_argument(
        "--cert",
        type=Path,
        metavar="FILE",
        help="our own certificate (PEM), with its key, or with --key",
    )
    group.add_argument("--key", type=Path, metavar="FILE", help="the key of --cert (PEM)")
    group.add_argument(
        "-k",
        "--insecure",
        action="store_true",
        help="do not verify the server's certificate: anybody on the way can pose as the server",
    )
    return group


def headers(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the header fields that were asked for.

    Raises:
        WrongArgument: a field is given twice, or a password is needed that nobody can be asked for.
    """
    fields: list[tuple[str, str]] = list(arguments.header)
    given = {name.lower() for name, _ in fields}
    if arguments.origin is not None:
        if "origin" in given:
            raise WrongArgument("--origin and a --header Origin exclude each other")
        fields.append(("Origin", arguments.origin))
    if arguments.auth is not None:
        if "authorization" in given:
            raise WrongArgument("--auth and a --header Authorization exclude each other")
        user, colon, password = arguments.auth.partition(":")
        if not colon:
            if not sys.stdin.isatty():
                raise WrongArgument("--auth needs USER:PASSWORD where nobody can be asked for the password")
            password = getpass.getpass()
        pair = base64.b64encode(f"{user}:{password}".encode(errors="surrogateescape")).decode()
        fields.append(("Authorization", f"Basic {pair}"))
    return fields


def context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Return the TLS context that was asked for, or None: the default.

    Raises:
        WrongArgument: a file cannot be used.
    """
    if arguments.key is not None and arguments.cert is None:
        raise WrongArgument("--key needs --cert")
    if not (arguments.ca or arguments.cert or arguments.insecure):
        return None
    try:
        made = ssl.create_default_context(cafile=arguments.ca)
    except OSError as error:
        raise WrongArgument(f"--ca {str(arguments.ca)!r} cannot be used: {in_words(error)}") from None
    if arguments.cert is not None:
        try:
            made.load_cert_chain(arguments.cert, arguments.key)
        except OSError as error:
            raise WrongArgument(f"--cert {str(arguments.cert)!r} cannot be used: {in_words(error)}") from None
    if arguments.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
