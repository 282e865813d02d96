"""Shows what the client does when its network fails: a real server, a proxy that
injects faults, a real client.

The first act has eight scenes on loopback: traffic, idleness, a frozen link, a
reset, a server that is killed and restarted, one that accepts and closes, a
handshake that hangs, a client whose own loop stalls. It shows what is uncertain
when a link dies. The second act plays those faults again to a connection with a
session, and compares what it sent with the ledger of the server, which is a
process of its own and killed for good. The exit status is 0 only if every fault
was noticed within its bound (interval + timeout; for the handshake
open_timeout), give or take the tolerance below, and recovered from; if there
was no false alarm; if no message was lost silently; and if, with the session,
none was lost, doubled, out of order or uncertain.

With --json, one JSON object is all that is printed:
  ok            whether the exit status is 0
  seed, seconds as given, or chosen
  duration      the seconds that it took
  settings      of the client, in seconds: interval, timeout, open_timeout,
                initial and maximum (of the back-off), stable_after; unit: what
                all scenes are measured in; and the tolerance: 0.25, or more in
                proportion above --seconds 45
  acts          the two, each an object with:
    outcomes    one object a scene, in order: scene, passed, verdict (for a
                person), bound, noticed_after, recovered_after (seconds or
                null), attempts (links tried)
    false_alarms  links given up though nothing was wrong: must be 0
    links, attempts, pings
                links that opened, links that were tried, heartbeats sent
    messages    of the first act: sent; echoed; uncertain: handed to a link that
                died before the echo; uncertain_arrived: those of them that the
                server has received; queued: still waiting for a link; lost:
                none of these, must be 0; unexpected: echoes that were altered,
                repeated or out of order, must be 0
                of the second: sent; handled by the server; answered: echoed;
                lost, doubled, uncertain: must be 0; unexpected: handled or
                echoed out of order, or altered, must be 0; repeated: handled
                again as the server was killed while it handled them, which
                their numbers tell, must be 1 at most
  timeline      objects with at (seconds since the start), state, event, why,
                round_trip (seconds or null)
"""

import argparse
import asyncio
import json
import random

from websocket_heartbeat.cli import dashboard
from websocket_heartbeat.cli.arguments import seconds, whole
from websocket_heartbeat.cli.demo.pace import USUAL_SECONDS, Pace
from websocket_heartbeat.cli.demo.play import Play
from websocket_heartbeat.cli.ending import signalled
from websocket_heartbeat.cli.output import show, tell

HELP = "show what the client does when its network fails"

EXAMPLES = """\
websocket-heartbeat demo
websocket-heartbeat demo --seconds 20 --seed 7
websocket-heartbeat demo --json | jq .ok
websocket-heartbeat demo --dashboard
"""

LEAST_SECONDS = 15
"""With less, the heartbeat would be so short that a busy machine itself would look like a fault."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--seconds",
        type=seconds(LEAST_SECONDS),
        default=USUAL_SECONDS,
        metavar="N",
        help=f"about how long to take, at least {LEAST_SECONDS}; all durations scale with it (default: 45)",
    )
    parser.add_argument(
        "--seed",
        type=whole,
        metavar="N",
        help="repeat what is random: when faults strike, messages, back-off (default: another each time)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    dashboard.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; return 0 if all is well, 1 if not, 143 after SIGTERM."""
    seed: int = random.randrange(10_000) if arguments.seed is None else arguments.seed
    return asyncio.run(_run(arguments, seed))


async def _run(arguments: argparse.Namespace, seed: int) -> int:
    async with dashboard.dashboard(arguments, tell):
        with signalled() as ended:
            play = asyncio.ensure_future(_show(arguments.seconds, seed, as_json=arguments.json))
            end = asyncio.ensure_future(ended.wait())
            await asyncio.wait((play, end), return_when=asyncio.FIRST_COMPLETED)
            end.cancel()
        if not ended.is_set():
            return play.result()
        play.cancel()  # which leaves no server and no files behind
        await asyncio.gather(play, return_exceptions=True)
        return ended.status


async def _show(length: float, seed: int, *, as_json: bool) -> int:
    if as_json:
        report = await Play(
            length, seed, lambda entry: None, lambda name, story: None, lambda number, name: None
        ).perform()
        show(json.dumps(report.document(), indent=2))
    else:
        from websocket_heartbeat.cli.demo.screen import Screen  # needs rich

        screen = Screen()
        play = Play(length, seed, screen.show, screen.announce, screen.begin)
        with screen:
            screen.title(play, Pace.of(length), seed)
            report = await play.perform()
        screen.conclude(report)
    return 0 if report.ok else 1
