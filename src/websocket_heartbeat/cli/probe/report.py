"""What a probe has found: data without secrets, filled while it measures; `document` is its JSON.

Durations are seconds. None stands for what was not tried, or what never came.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urljoin

from websocket_heartbeat.redaction import shown_url

_SHOWN_HEADERS = {
    *("age", "allow", "cache-control", "cf-ray", "connection", "content-encoding", "content-length"),
    *("content-type", "date", "keep-alive", "retry-after", "sec-websocket-accept"),
    *("sec-websocket-extensions", "sec-websocket-protocol", "sec-websocket-version", "server"),
    *("transfer-encoding", "upgrade", "vary", "via", "x-cache", "x-request-id"),
}
"""Headers whose values carry no credentials. Of all others any may, whatever its name."""


def shown_headers(headers: Sequence[tuple[str, str]], url: str) -> list[tuple[str, str]]:
    """Return the headers of an answer from that URL without what may be secret."""
    return [(name, _shown_value(name.lower(), value, url)) for name, value in headers]


def _shown_value(name: str, value: str, url: str) -> str:
    if name in _SHOWN_HEADERS:
        return value
    if name == "location":
        try:
            return shown_url(urljoin(url, value))
        except ValueError:
            return "(unreadable URL)"
    if name in ("www-authenticate", "proxy-authenticate"):
        scheme, space, _ = value.partition(" ")
        return f"{scheme} ..." if space else scheme
    return f"({len(value)} characters, not shown)"


@dataclass(slots=True)
class Address:
    """One address of the host; error: in words why it cannot be reached, None if it can or was not tried."""

    address: str
    error: str | None = None


@dataclass(slots=True)
class Tls:
    """The encryption and the server's certificate, of which only what was verified is told.

    expires: as ISO 8601. It and days_left are None, and issuer is "", with --insecure.
    """

    version: str
    cipher: str
    issuer: str
    expires: str | None = None
    days_left: int | None = None


@dataclass(slots=True)
class Redirect:
    """One redirect that was followed."""

    status: int
    to: str


@dataclass(slots=True)
class Opening:
    """How a connection came about, or how far it came.

    stage: the last one that began: dns, tcp, tls, handshake, or proxy in place of the first two.
    seconds: of each stage that was completed. After redirects, all of it is about the last place.
    """

    stage: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    redirects: list[Redirect] = field(default_factory=list)
    proxy: str | None = None
    addresses: list[Address] = field(default_factory=list)
    connected_to: str | None = None
    tls: Tls | None = None
    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body_bytes: int | None = None
    subprotocol: str | None = None


@dataclass(slots=True)
class Verdict:
    """What the client does after the failure that was found: retry.py decides."""

    final: bool
    retry_after: float


@dataclass(slots=True)
class Pings:
    """Pings of the protocol. jitter: the mean difference of one round trip and the next."""

    sent: int
    answered: int
    min: float | None = None
    median: float | None = None
    max: float | None = None
    jitter: float | None = None


@dataclass(slots=True)
class Answer:
    """What came back to the text heartbeat.

    unasked: messages that came before it was sent. pong: seconds until a ping right behind it was answered.
    """

    answered: bool
    unasked: int
    pong: float | None = None
    seconds: float | None = None
    kind: str | None = None
    bytes: int | None = None


@dataclass(slots=True)
class Close:
    """How the server took our close frame with 1000.

    framed: whether it sent one of its own. code: of that, None if it gave none.
    """

    answered: bool
    framed: bool = False
    code: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Idle:
    """How long a link lived on which we sent nothing.

    seconds: from its opening to the cut, or to the end of the wait. how: "close frame", "reset",
    "end of file", "silence" (open to all appearance, but a heartbeat after the wait went unanswered) or an
    error in words; None: not cut. silent_for: since the server was last heard. spoke: how often it was.
    one_sided: whether it kept speaking, so that only we were silent. checked: whether a heartbeat after the
    wait could tell.
    """

    seconds: float
    cut: bool
    silent_for: float
    spoke: int
    how: str | None = None
    code: int | None = None
    reason: str = ""
    one_sided: bool = False
    checked: bool = False

    @property
    def borne(self) -> float:
        """The seconds of silence after which the link was cut."""
        return self.seconds if self.one_sided else self.silent_for


@dataclass(slots=True)
class Trial:
    """Whether a link that is cut without heartbeats lives with them, for longer than without.

    heartbeat: "ping" or "message". interval: seconds from one to the next. The rest is as in Idle.
    """

    heartbeat: str
    interval: float
    seconds: float
    cut: bool
    how: str | None = None
    code: int | None = None
    reason: str = ""


@dataclass(slots=True)
class Recommended:
    """Settings for `connect`. message: whether to heartbeat by a text; why: a sentence for each."""

    interval: float
    timeout: float
    message: bool
    open_timeout: float | None
    line: str
    why: list[str]


@dataclass(slots=True)
class Report:
    """All that was found.

    url: what may be shown of the one that was given; url_is_cut: whether that is less than all of it.
    problems: each in words, the first one first. notes: what is worth knowing.
    """

    url: str
    url_is_cut: bool
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdict: Verdict | None = None
    opening: Opening = field(default_factory=Opening)
    pings: Pings | None = None
    message: Answer | None = None
    close: Close | None = None
    compression: bool | None = None
    idle: Idle | None = None
    trials: list[Trial] = field(default_factory=list)
    recommended: Recommended | None = None

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"ok": self.ok, **asdict(self)}
