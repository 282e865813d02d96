"""Metrics and spans by the API of OpenTelemetry, of every connection, fleet and hub of this process.

docs/monitoring.md lists them. Names that the semantic conventions have are theirs (`server.address`,
`server.port`, `error.type`, `url.full`, `http.response.status_code`); the others begin with our own.
Of connections to one server, and of the peers of all hubs, the numbers are added: no label names one of them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter, time

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
except ModuleNotFoundError as _missing:
    raise ImportError(
        "websocket_heartbeat.otel needs a package: pip install 'websocket-heartbeat[otel]'"
    ) from _missing

from websocket_heartbeat import observer
from websocket_heartbeat.events import CloseEvent, ReconnectEvent, SessionEvent
from websocket_heartbeat.observer import ObservedConnection, ObservedHubStats, ObservedPeer, Observer
from websocket_heartbeat.system.callbacks import log_raised
from websocket_heartbeat.version import __version__

__all__ = ["instrument", "uninstrument"]

_SCOPE = "websocket_heartbeat"

_logger = logging.getLogger("websocket_heartbeat")

_ROUND_TRIPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ATTEMPTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DOWN = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_LIVES = (1, 10, 60, 300, 900, 3600, 14400, 86400)
"""The buckets of histograms, in seconds."""


_instrumented: "tuple[_Instruments, ...]" = ()


def instrument(
    *, meter_provider: MeterProvider | None = None, tracer_provider: TracerProvider | None = None
) -> None:
    """Record metrics and spans from now on, until `uninstrument`; of connections started before it, too.

    An attempt of a client is a span, and carries its context to the server, as the propagator of the process
    has it: mostly the header `traceparent`. The first attempt belongs to the span in which the connection was
    started; each later one begins a trace, with a link to that span.

    meter_provider, tracer_provider: default to those of the process. Without any, the API does nothing.

    Raises:
        RuntimeError: it is recording already; `uninstrument` ends that.
    """
    global _instrumented
    if _instrumented:
        raise RuntimeError("websocket_heartbeat is instrumented already; uninstrument() ends that")
    meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
    tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
    _instrumented = _Attempts(meter, tracer), _Connections(meter), _Hubs(meter)
    for each in _instrumented:
        observer.observe(each)


def uninstrument() -> None:
    """Stop recording; does nothing if `instrument` was not called."""
    global _instrumented
    for each in _instrumented:
        observer.ignore(each)
        each.stop()
    _instrumented = ()


class _Instruments(Observer):
    """Records what observers are called with, and answers the exporter's questions for numbers."""

    def __init__(self) -> None:
        self._is_on = True

    def stop(self) -> None:
        """Answer no more questions: the API has no way to take an instrument back."""
        self._is_on = False

    def _while_on(
        self, observe: Callable[[], Iterable[Observation]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda options: observe() if self._is_on else ()


class _Attempts(_Instruments):
    """Attempts of clients, as spans and in numbers."""

    def __init__(self, meter: Meter, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer
        self._under_way: dict[tuple[int, int], tuple[float, Span]] = {}  # by connection and link
        client = f"{_SCOPE}.client"
        self._links = meter.create_counter(f"{client}.links", "{link}", "Links that have opened.")
        self._duration = meter.create_histogram(
            f"{client}.attempt.duration",
            "s",
            "Attempts to open a link, those that failed by the class of the reason.",
            explicit_bucket_boundaries_advisory=_ATTEMPTS,
        )

    def stop(self) -> None:
        """End the spans of attempts that are under way."""
        super().stop()
        for _, span in self._under_way.values():
            _end(span)
        self._under_way.clear()

    def attempt_began(self, connection: ObservedConnection, link: int) -> Sequence[tuple[str, str]]:
        """Begin its span; return what tells the server of it."""
        try:
            return self._begin(connection, link)
        except Exception as error:  # of a span processor or a propagator, which must not cost a connection
            log_raised(_logger.error, "the beginning of a span", error)
            return ()

    def _begin(self, connection: ObservedConnection, link: int) -> Sequence[tuple[str, str]]:
        context = None
        links = []
        if link > 1:
            started_in = trace.get_current_span().get_span_context()
            links = [trace.Link(started_in)] if started_in.is_valid else []
            context = Context()
        span = self._tracer.start_span(
            "websocket connect",
            context,
            SpanKind.CLIENT,
            {"network.protocol.name": "websocket", f"{_SCOPE}.link": link},
            links,
        )
        self._under_way[id(connection), link] = perf_counter(), span
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        return tuple(carrier.items())

    def attempt_ended(self, connection: ObservedConnection, link: int, error: str | None) -> None:
        """End its span, and record how long it took."""
        began, span = self._under_way.pop((id(connection), link), (None, None))
        if began is None or span is None:
            return
        attributes = _attributes(connection, error)
        span.set_attributes(attributes)
        if connection.url is not None:
            span.set_attribute("url.full", connection.url)
        if error is None:
            self._links.add(1, attributes)
            span.set_attribute("http.response.status_code", 101)
        else:
            if error.isdecimal():
                span.set_attribute("http.response.status_code", int(error))
            span.set_status(Status(StatusCode.ERROR))
        self._duration.record(perf_counter() - began, attributes)
        _end(span)


def _end(span: Span) -> None:
    try:
        span.end()
    except Exception as error:  # as above
        log_raised(_logger.error, "the end of a span", error)


class _Connections(_Instruments):
    """Connections of clients, and fleets of them."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        client = f"{_SCOPE}.client"
        self._losses = meter.create_counter(
            f"{client}.link.losses", "{loss}", "Open links that were lost, by the class of the reason."
        )
        self._retries = meter.create_counter(
            f"{client}.retries", "{retry}", "Retries that were scheduled, by the class of the reason."
        )
        self._down = meter.create_histogram(
            f"{client}.down.duration",
            "s",
            "Outages that have ended: the time without a link that is ready.",
            explicit_bucket_boundaries_advisory=_DOWN,
        )
        self._round_trip = meter.create_histogram(
            f"{client}.round_trip.duration",
            "s",
            "Heartbeats, from the ping to its answer.",
            explicit_bucket_boundaries_advisory=_ROUND_TRIPS,
        )
        self._uncertain = meter.create_counter(
            f"{client}.uncertain", "By", "Bytes sent on links that were lost, which may not have arrived."
        )
        self._failures = meter.create_counter(
            f"{client}.connection.failures",
            "{connection}",
            "Connections that have failed for good, by the class of the reason.",
        )
        self._session_events = meter.create_counter(
            f"{client}.session.events",
            "{event}",
            "What became of sessions.",
        )
        meter.create_observable_up_down_counter(
            f"{client}.connections",
            [self._while_on(self._observe_connections)],
            "{connection}",
            "Connections that have not ended, by their state.",
        )
        meter.create_observable_up_down_counter(
            f"{client}.queue.messages",
            [self._while_on(self._observe_queues)],
            "{message}",
            "Messages that wait to be sent.",
        )
        meter.create_observable_up_down_counter(
            f"{_SCOPE}.fleet.waiting",
            [self._while_on(_observe_fleets)],
            "{attempt}",
            "Attempts of fleets that wait for their turn.",
        )

    def link_lost(self, connection: ObservedConnection, event: CloseEvent, error: str | None) -> None:
        """Count it."""
        if error is not None:
            self._losses.add(1, _attributes(connection, error))
        self._uncertain.add(event.uncertain_bytes or 0, _attributes(connection))

    def retry_scheduled(self, connection: ObservedConnection, event: ReconnectEvent, error: str) -> None:
        """Count it."""
        self._retries.add(1, _attributes(connection, error))

    def link_ready(self, connection: ObservedConnection, link: int, down_for: float | None) -> None:
        """Record the outage that it ends."""
        if down_for is not None:
            self._down.record(down_for, _attributes(connection))

    def round_trip(self, connection: ObservedConnection, seconds: float) -> None:
        """Record it."""
        self._round_trip.record(seconds, _attributes(connection))

    def session_told(self, connection: ObservedConnection, event: SessionEvent) -> None:
        """Count it."""
        self._session_events.add(1, {**_attributes(connection), f"{_SCOPE}.session.event": event.kind})

    def connection_failed(self, connection: ObservedConnection, error: str, reason: str) -> None:
        """Count it."""
        self._failures.add(1, _attributes(connection, error))

    def _observe_connections(self) -> Iterable[Observation]:
        counts: Counter[tuple[tuple[str, int] | None, str]] = Counter()
        for connection in observer.connections:
            if not connection.ended:
                counts[connection.server, connection.state] += 1
        for (server, state), count in counts.items():
            yield Observation(count, {**_of_server(server), f"{_SCOPE}.connection.state": state})

    def _observe_queues(self) -> Iterable[Observation]:
        queued: Counter[tuple[str, int] | None] = Counter()
        for connection in observer.connections:
            if not connection.ended:
                queued[connection.server] += connection.queued
        for server, count in queued.items():
            yield Observation(count, _of_server(server))


class _Hubs(_Instruments):
    """Hubs and servers, their clients and sessions."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        server = f"{_SCOPE}.server"
        meter.create_observable_up_down_counter(
            f"{server}.peers",
            [self._while_on(lambda: _of_hubs(lambda stats: stats.peers))],
            "{peer}",
            "Clients that are connected.",
        )
        meter.create_observable_counter(
            f"{server}.peer.admissions",
            [self._while_on(lambda: _of_hubs(lambda stats: stats.admitted))],
            "{peer}",
            "Clients that have connected.",
        )
        meter.create_observable_counter(
            f"{server}.peer.refusals",
            [self._while_on(lambda: _of_hubs_by_reason(lambda stats: stats.refused))],
            "{handshake}",
            "Handshakes that were refused, by the option that has refused them.",
        )
        meter.create_observable_counter(
            f"{server}.peer.drops",
            [self._while_on(lambda: _of_hubs_by_reason(lambda stats: stats.dropped))],
            "{peer}",
            "Clients that were dropped, by the option that has dropped them.",
        )
        meter.create_observable_counter(
            f"{server}.message.drops",
            [self._while_on(lambda: _of_hubs(lambda stats: stats.dropped_messages))],
            "{message}",
            "Messages of rooms and volatile ones that slow clients did not get.",
        )
        self._peer_duration = meter.create_histogram(
            f"{server}.peer.duration",
            "s",
            "How long clients were here that have gone; of those that were lost by the class of the reason.",
            explicit_bucket_boundaries_advisory=_LIVES,
        )
        self._peer_round_trip = meter.create_histogram(
            f"{server}.round_trip.duration",
            "s",
            "Pings of the hub to silent clients, from the ping to its answer.",
            explicit_bucket_boundaries_advisory=_ROUND_TRIPS,
        )
        meter.create_observable_up_down_counter(
            f"{server}.sessions",
            [self._while_on(_observe_sessions)],
            "{session}",
            "Sessions of this process: attached to a link, or away.",
        )
        meter.create_observable_up_down_counter(
            f"{server}.session.memory",
            [self._while_on(_observe_held)],
            "By",
            "What messages of sessions take that are not acknowledged or not handled, about.",
        )
        self._sessions_changed = meter.create_counter(
            f"{server}.session.events",
            "{event}",
            "What became of sessions.",
        )
        self._unacknowledged = meter.create_counter(
            f"{server}.session.unacknowledged",
            "{message}",
            "Messages that the clients of ended sessions have not acknowledged.",
        )

    def peer_gone(self, peer: ObservedPeer, code: int | None, error: str | None) -> None:
        """Record how long it was here."""
        self._peer_duration.record(max(0.0, time() - peer.since), _with_error({}, error))

    def peer_round_trip(self, peer: ObservedPeer, seconds: float) -> None:
        """Record it."""
        self._peer_round_trip.record(seconds)

    def session_changed(self, event: str, unacknowledged: int = 0) -> None:
        """Count it."""
        self._sessions_changed.add(1, {f"{_SCOPE}.session.event": event})
        self._unacknowledged.add(unacknowledged)


def _attributes(connection: ObservedConnection, error: str | None = None) -> dict[str, str | int]:
    return _with_error(_of_server(connection.server), error)


def _of_server(server: tuple[str, int] | None) -> dict[str, str | int]:
    return {} if server is None else {"server.address": server[0], "server.port": server[1]}


def _with_error(attributes: dict[str, str | int], error: str | None) -> dict[str, str | int]:
    return attributes if error is None else {**attributes, "error.type": error}


def _observe_fleets() -> Iterable[Observation]:
    yield Observation(sum(fleet.waiting for fleet in observer.fleets))


def _of_hubs(number: Callable[[ObservedHubStats], int]) -> Iterable[Observation]:
    yield Observation(sum(number(hub.stats()) for hub in observer.hubs))


def _of_hubs_by_reason(numbers: Callable[[ObservedHubStats], Mapping[str, int]]) -> Iterable[Observation]:
    counts: Counter[str] = Counter()
    for hub in observer.hubs:
        counts.update(numbers(hub.stats()))
    for reason, count in counts.items():
        yield Observation(count, {"error.type": reason})


def _observe_sessions() -> Iterable[Observation]:
    counts = [sessions.count() for sessions in observer.sessions]
    for state, number in (
        ("attached", sum(count.attached for count in counts)),
        ("away", sum(count.away for count in counts)),
    ):
        yield Observation(number, {f"{_SCOPE}.session.state": state})


def _observe_held() -> Iterable[Observation]:
    yield Observation(sum(sessions.count().held for sessions in observer.sessions))
