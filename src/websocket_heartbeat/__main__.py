"""Lets `python -m websocket_heartbeat` be the command line."""

import sys

from websocket_heartbeat.cli import main

if __name__ == "__main__":
    sys.exit(main())
