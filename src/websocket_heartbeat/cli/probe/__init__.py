"""Finds out why a connection fails, and which settings it needs.

Opens three connections to the server, one after the other, and a fourth with
--idle; if that is cut, others tell which heartbeats keep one for longer. Shows
no query, no password, no message and no value of a header that may be secret.
The exit status is 0 if the server is fine, 1 if a problem was found, which is
told first, 2 if an argument is wrong, 130 after Ctrl-C. A
problem is whatever keeps a connection from opening, a heartbeat from being
answered or a silent link from living as long as --idle says, and that all
subprotocols are declined.

With --json, one JSON object is all that is printed. Durations are in seconds;
null stands for what was not tried or did not happen.
  ok            whether the exit status is 0
  url           without what may be secret; url_is_cut: whether that is less
  interrupted   whether Ctrl-C ended it before it was done
  problems      in words, the first one first; notes: what is worth knowing
  verdict       on the failure that was found: final, or else retry_after
  opening       stage (the last that began), seconds (by stage: dns, tcp, tls,
                handshake, and proxy instead of the first two), redirects
                (status, to), proxy, addresses (address, error), connected_to,
                tls (version, cipher, issuer, expires, days_left), status,
                headers (pairs), body_bytes, subprotocol
  pings         sent, answered, min, median, max, jitter (the mean difference
                of one round trip and the next)
  message       answered, unasked (messages that came before), pong (seconds
                until a ping right behind it was answered), seconds, kind
                (text or binary), bytes
  close         answered, framed (by a close frame, not by the end of the
                stream), code, seconds
  compression   whether permessage-deflate is accepted
  idle          cut, seconds (until then, or waited), how (close frame, reset,
                end of file, silence, or another error), code, reason,
                silent_for (since the server was last heard), spoke (how often
                it was), one_sided (it kept speaking, so only we were silent),
                checked (whether a heartbeat after the wait could tell)
  trials        of heartbeats, on a link that is cut without: heartbeat (ping
                or message), interval, seconds, cut, how, code, reason
  recommended   interval, timeout, message (whether to heartbeat by the text of
                --heartbeat), open_timeout, line (of Python), why (sentences)
"""

import argparse
import asyncio
import json
import ssl

from websocket_heartbeat import engines
from websocket_heartbeat.cli import reaching
from websocket_heartbeat.cli.arguments import count, message, seconds, timeout, url
from websocket_heartbeat.cli.output import show
from websocket_heartbeat.cli.probe import text
from websocket_heartbeat.cli.probe.measure import examine
from websocket_heartbeat.cli.probe.report import Report
from websocket_heartbeat.client.options import USER_AGENT, Options
from websocket_heartbeat.config import Backoff, Heartbeat, Session
from websocket_heartbeat.redaction import shown_url

HELP = "find out why a connection fails"

EXAMPLES = """\
websocket-heartbeat probe wss://example.com/feed
websocket-heartbeat probe localhost:8765 --heartbeat ping --idle 120
websocket-heartbeat probe wss://example.com -H 'Authorization: Bearer abc'
websocket-heartbeat probe wss://example.com/feed --json | jq .problems
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.usage = "%(prog)s [options] URL"
    parser.add_argument(
        "url", type=url, metavar="URL", help="ws://..., wss://... or localhost:8765; wss:// for other names"
    )
    parser.add_argument(
        "--heartbeat",
        type=message,
        metavar="TEXT",
        help="a text heartbeat to try; whatever comes back is an answer",
    )
    parser.add_argument(
        "--pings", type=count, default=5, metavar="N", help="how many pings to send (default: 5)"
    )
    parser.add_argument(
        "--idle",
        type=seconds(),
        metavar="SECONDS",
        help="leave a link silent for so long, to see whether it is cut (default: not)",
    )
    parser.add_argument(
        "--timeout",
        type=timeout,
        default=10.0,
        metavar="SECONDS",
        help="for opening a connection, and for each answer (default: 10)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    reaching.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Examine the server; return 0 if it is fine, 1 if not, 130 if interrupted."""
    return asyncio.run(_probe(arguments))


async def _probe(arguments: argparse.Namespace) -> int:
    report = await report_on(arguments, reaching.context(arguments))
    text.progress("")
    # Printed before the loop ends: that waits for a resolver that hangs.
    show(_as_json(report) if arguments.json else text.render(report))
    if report.interrupted:
        return 130
    return 0 if report.ok else 1


def _as_json(report: Report) -> str:
    # json escapes every control character but this one.
    return json.dumps(report.document(), indent=2).replace("\x7f", r"\u007f")


async def report_on(arguments: argparse.Namespace, context: ssl.SSLContext | None = None) -> Report:
    """Examine the server, until the end or until Ctrl-C. context: for TLS; default: the system's."""
    shown = shown_url(arguments.url)
    report = Report(shown, url_is_cut=shown != arguments.url)
    try:
        await examine(
            _options(arguments, context),
            report,
            pings=arguments.pings,
            message=arguments.heartbeat,
            idle=arguments.idle,
            progress=text.progress,
        )
    except asyncio.CancelledError:
        report.interrupted = True
    return report


def _options(arguments: argparse.Namespace, context: ssl.SSLContext | None) -> Options:
    """Return what the client would be configured with."""
    return Options(
        arguments.url,
        additional_headers=reaching.headers(arguments),
        user_agent_header=USER_AGENT,
        subprotocols=arguments.subprotocol,
        heartbeat=Heartbeat(),
        message_timeout=None,
        backoff=Backoff(),
        open_timeout=arguments.timeout,
        close_timeout=arguments.timeout,
        max_retries=None,
        send_queue=0,
        send_queue_bytes=2**24,
        receive_queue=1,
        receive_queue_bytes=2**24,
        receive_policy="pause",
        max_size=2**20,
        compression=False,
        ssl=context,
        proxy=arguments.proxy or True,
        unix_path=None,
        local_addr=None,
        server_hostname=None,
        engine=engines.load("auto"),
        shown_path=None,
        final_close_codes=(),
        dismissal=None,
        session=Session("off"),
        retry_if=None,
        name=None,
    )
