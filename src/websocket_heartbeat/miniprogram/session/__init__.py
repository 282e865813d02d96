"""Sessions for mini programs and pages: a script of its own, for those who carry messages across links.

connection_session.py is one connection's, and what the option `session` takes is in option.py. offers.py says
which attempts ask for a session, controls.py has the objects of its handshake, inbox.py what was received.
background.py is for programs that the host kills, and snapshot.py has the text that they leave.
core/session.py and core/resume.py, which Python's client and server use too, decide the rest.
"""

from websocket_heartbeat.miniprogram.session.option import Session

__all__ = ["Session"]
