"""Has a back end send all its clients away, each with a moment of its own to
come back: for the preStop hook of a deployment. URL is that of the application
`Hub.send_away_app`, such as http://127.0.0.1:8000/send-away.

Waits until all have gone, and prints what the back end answers. The exit
status is 0 if it has sent them away, and 1 otherwise.
"""

import argparse
from pathlib import Path

from websocket_heartbeat.cli.arguments import page, seconds
from websocket_heartbeat.cli.output import show, tell
from websocket_heartbeat.redaction import printable, shown_url

HELP = "have a back end send all its clients away before it stops"

EXAMPLES = """\
websocket-heartbeat send-away http://127.0.0.1:8000/send-away
websocket-heartbeat send-away http://10.0.0.7/send-away --token-file token.txt
"""

_LONGEST_ANSWER = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("url", type=page, metavar="URL", help="the URL of the application")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the file that holds the token of the application, if it has one",
    )
    parser.add_argument(
        "--timeout",
        type=seconds(),
        default=60,
        metavar="SECONDS",
        help="how long to wait for the answer (default: 60)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Call the application; return 0 if it has done so, else 1."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class NoRedirects(HTTPRedirectHandler):
        def redirect_request(self, *what: object) -> None:
            """Leave the answer as it is: the token is for nobody else."""

    headers = {}
    if arguments.token_file is not None:
        try:
            headers["Authorization"] = f"Bearer {arguments.token_file.read_text().strip()}"
        except (OSError, UnicodeDecodeError) as error:
            tell(f"cannot read the token: {printable(str(error))}")
            return 1
    request = Request(arguments.url, method="POST", headers=headers)
    where = shown_url(arguments.url)
    try:
        # Directly: an application without a token does not answer to proxies.
        opener = build_opener(ProxyHandler({}), NoRedirects)
        with opener.open(request, timeout=arguments.timeout) as answer:
            text = answer.read(_LONGEST_ANSWER).decode(errors="replace")
    except HTTPError as error:
        with error:
            tell(f"{where} answered {error.code} {printable(str(error.reason))}")
        return 1
    except OSError as error:
        tell(f"{where} cannot be called: {printable(str(getattr(error, 'reason', error)))}")
        return 1
    except (ValueError, HTTPException) as error:  # whose text may quote a token or a password
        tell(f"{where} cannot be called: {type(error).__name__}")
        return 1
    show(printable(text.strip()))
    return 0
