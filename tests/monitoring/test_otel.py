"""What connections, fleets and hubs record by the API of OpenTelemetry, with its SDK at the other end."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Connection, ConnectionFailed, Fleet, Heartbeat, State, connect, otel
from websocket_heartbeat.server import Hub, Refusal, Request, serve

SECRET = "s3cr3t"
SOON = Backoff(initial=0.02, maximum=0.05)


class Recorded:
    """Everything that was recorded."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))

    def points(self, name: str) -> list[Any]:
        """Return the data points of an instrument, whose name is given without its beginning."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"websocket_heartbeat.{name}"
            for point in metric.data.data_points
        ]

    def total(self, name: str, **attributes: object) -> float:
        """Return the sum of the points with these attributes; of a histogram, how many were recorded."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        points = [each for each in self.points(name) if wanted.items() <= each.attributes.items()]
        return float(sum(each.count if hasattr(each, "count") else each.value for each in points))

    def everything(self) -> str:
        data = self._reader.get_metrics_data()
        spans = "".join(span.to_json() for span in self.spans)
        return ("" if data is None else data.to_json()) + spans

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    recorded = Recorded()
    otel.instrument(meter_provider=recorded.meters, tracer_provider=recorded.tracers)
    yield recorded
    otel.uninstrument()
    recorded.meters.shutdown()
    recorded.tracers.shutdown()


def test_connections_are_counted_that_were_started_before(run: Run) -> None:
    recorded = Recorded()

    async def main() -> None:
        async with serve() as server, connect(server.url()) as connection:
            await connection.wait_open()
            otel.instrument(meter_provider=recorded.meters, tracer_provider=recorded.tracers)
            assert recorded.total("client.connections", server__port=server.port) == 1

    try:
        run(main())
    finally:
        otel.uninstrument()


def test_a_connection_is_not_counted_whose_event_loop_is_closed(recorded: Recorded) -> None:
    async def main() -> Connection:
        connection = connect("ws://127.0.0.1:9/", backoff=Backoff(initial=60, maximum=60))
        connection.start()
        await until(lambda: connection.state is State.WAITING)
        assert recorded.total("client.connections") == 1
        return connection

    connection = asyncio.run(main())
    assert connection.state is State.WAITING
    assert recorded.total("client.connections") == 0
    with pytest.warns(ResourceWarning):  # which its users are to see
        del connection


def test_a_loss_its_retries_its_outage_and_round_trips_are_recorded(run: Run, recorded: Recorded) -> None:
    async def main() -> None:
        async with serve() as server:
            pace = Heartbeat(interval=0.05, timeout=5)
            async with connect(server.url(), heartbeat=pace, backoff=SOON) as connection:
                await connection.wait_open(PATIENCE)
                here = {"server__address": "127.0.0.1", "server__port": server.port}
                server.connections[0].abort()
                await until(lambda: connection.stats.links == 2)
                await until(lambda: recorded.total("client.round_trip.duration", **here) >= 2)
                assert recorded.total("client.links", **here) == 2
                assert recorded.total("client.link.losses", error__type="connection_lost", **here) == 1
                assert recorded.total("client.retries", error__type="connection_lost", **here) >= 1
                assert recorded.total("client.down.duration", **here) == 1
                assert recorded.total("client.attempt.duration", **here) == 2
                assert recorded.total("client.connections", **here) == 1
            assert recorded.total("client.connections", **here) == 0
            assert recorded.total("client.link.losses") == 1, "the close of our own is no loss"

    run(main())


def test_attempts_and_connections_that_fail_are_recorded_by_their_class(
    run_asyncio: Run, recorded: Recorded
) -> None:
    async def main() -> None:
        async with (
            serve(on_handshake=lambda request: Refusal(404)) as server,
            connect(server.url()) as connection,
        ):
            with pytest.raises(ConnectionFailed):
                await connection.recv()

    run_asyncio(main())
    assert recorded.total("client.attempt.duration", error__type="404") == 1
    assert recorded.total("client.connection.failures", error__type="404") == 1
    assert recorded.points("client.links") == []


def test_what_waits_to_be_sent_and_for_a_turn_is_counted(run_asyncio: Run, recorded: Recorded) -> None:
    async def main() -> None:
        async with Fleet(open_rate=0.2) as fleet:
            for _ in range(3):
                fleet.add(connect("ws://127.0.0.1:1/", backoff=Backoff(initial=60)))
            await until(lambda: fleet.states[State.WAITING] == 1)
            first = next(each for each in fleet.connections if each.state == "waiting")
            await first.send("one")
            await first.send("two")
            assert recorded.total("client.queue.messages", server__port=1) == 2
            assert recorded.total("fleet.waiting") == fleet.waiting == 2
            state = {"websocket_heartbeat__connection__state": "waiting"}
            assert recorded.total("client.connections", **state) == 1
            first.clear_queue()
        await until(lambda: fleet.waiting == 0)  # its timer has nothing left to do

    run_asyncio(main())


def test_what_becomes_of_peers_and_sessions_is_recorded(run_asyncio: Run, recorded: Recorded) -> None:
    async def main() -> None:
        hub = Hub(
            sessions="memory",
            idle_timeout=0.2,
            on_message=lambda peer, message: peer.send(message),
            authenticate=lambda request: Refusal(403) if request.query else None,
        )
        before = {name: recorded.total(f"server.{name}") for name in ("peers", "peer.admissions")}
        async with serve(hub=hub) as server:
            async with connect(server.url(), session="require", backoff=SOON) as connection:
                await connection.send("hello")
                await connection.recv()
                hub.peers[0].abort()  # the session goes on, over another link
                await until(lambda: connection.stats.links == 2)
                attached = {"websocket_heartbeat__session__state": "attached"}
                await until(lambda: recorded.total("server.sessions", **attached) == 1)
                assert recorded.total("server.peers") - before["peers"] == 1
                await until(lambda: recorded.total("server.round_trip.duration") >= 1)
            async with connect(server.url() + "?stranger"):
                await until(lambda: hub.stats.refused["authenticate"] == 1)
            await until(lambda: not hub.peers)
        assert recorded.total("server.peer.admissions") - before["peer.admissions"] == 1
        assert recorded.total("server.peer.refusals", error__type="authenticate") >= 1
        assert recorded.total("server.peer.drops", error__type="abort") >= 1
        await hub.close()

    run_asyncio(main())
    for event in ("new", "resumed", "over"):
        named = {"websocket_heartbeat__session__event": event}
        assert recorded.total("server.session.events", **named) == 1, event
    assert recorded.total("server.peer.duration") == 1
    assert recorded.total("client.session.events", websocket_heartbeat__session__event="resumed") == 1


def test_an_attempt_is_a_span_whose_context_the_server_gets(run: Run, recorded: Recorded) -> None:
    async def main() -> None:
        requests: list[Request] = []

        def note(request: Request) -> None:
            requests.append(request)

        async with serve(on_handshake=note) as server:
            tracer = recorded.tracers.get_tracer("test")
            with tracer.start_as_current_span("login") as login:
                connection = await connect(server.url("/feed"), backoff=SOON)
            await connection.wait_open(PATIENCE)
            server.connections[0].abort()
            await until(lambda: connection.stats.links == 2)
            await connection.close()
        first, second = [span for span in recorded.spans if span.name == "websocket connect"]
        assert first.kind is second.kind is SpanKind.CLIENT
        assert first.attributes is not None
        assert dict(first.attributes) == {
            "network.protocol.name": "websocket",
            "websocket_heartbeat.link": 1,
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "url.full": server.url("/feed"),
            "http.response.status_code": 101,
        }
        # The first belongs to what has started the connection. Later ones, which may be days later, do not.
        context = login.get_span_context()
        assert first.parent is not None
        assert first.parent.span_id == context.span_id
        assert second.parent is None
        assert [link.context.span_id for link in second.links] == [context.span_id]
        sent = [(request.header("traceparent") or "").split("-")[1:3] for request in requests]
        assert sent == [
            [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"] for span in (first, second)
        ]

    run(main())


def test_a_span_of_an_attempt_that_fails_says_why(run_asyncio: Run, recorded: Recorded) -> None:
    async def main() -> None:
        async with (
            serve(on_handshake=lambda request: Refusal(503)) as server,
            connect(server.url(), backoff=Backoff(initial=60)) as connection,
        ):
            await until(lambda: connection.state == "waiting")

    run_asyncio(main())
    (span,) = recorded.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "503"
    assert span.attributes["http.response.status_code"] == 503


@pytest.mark.parametrize(
    ("ends", "error"), [("close", "cancelled"), ("wait", "open_timeout")], ids=["closed", "too late"]
)
def test_the_span_of_an_attempt_that_is_given_up_ends_too(
    run_asyncio: Run, recorded: Recorded, ends: str, error: str
) -> None:
    async def hang(request: Request) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        options: dict[str, Any] = {"open_timeout": 0.1 if ends == "wait" else 60}
        async with (
            serve(on_handshake=hang, close_timeout=0) as server,
            connect(server.url(), backoff=Backoff(initial=60), **options) as connection,
        ):
            if ends == "wait":
                await until(lambda: connection.state == "waiting")
            else:
                await until(lambda: connection.stats.attempts == 1)
                await asyncio.sleep(0)

    run_asyncio(main())
    (span,) = recorded.spans
    assert span.attributes is not None
    assert span.attributes["error.type"] == error
    assert recorded.total("client.attempt.duration", error__type=error) == 1


def test_a_header_of_the_user_goes_before_that_of_the_span(run_asyncio: Run, recorded: Recorded) -> None:
    async def main() -> None:
        seen: list[list[str]] = []

        def note(request: Request) -> None:
            seen.append([value for name, value in request.headers if name.lower() == "traceparent"])

        async with (
            serve(on_handshake=note) as server,
            connect(server.url(), additional_headers={"Traceparent": "mine"}) as connection,
        ):
            await connection.wait_open(PATIENCE)
        assert seen == [["mine"]]

    run_asyncio(main())


def test_nothing_recorded_names_a_secret_or_a_single_client(run_asyncio: Run, recorded: Recorded) -> None:
    async def main() -> None:
        async with serve() as server:
            url = server.url("/feed").replace("ws://", f"ws://user:{SECRET}@") + f"?token={SECRET}"
            headers = {"Cookie": SECRET}
            async with connect(
                url, additional_headers=headers, name="one of many", backoff=Backoff(initial=60)
            ) as connection:
                await connection.send(SECRET)
                await connection.recv()
                server.connections[0].close(4000, SECRET)
                await until(lambda: connection.state == "waiting")

    run_asyncio(main())
    everything = recorded.everything()
    assert "server_closed" in everything
    assert SECRET not in everything
    assert "one of many" not in everything
    allowed = {"server.address", "server.port", "error.type"}
    names = ("client.links", "client.link.losses", "client.attempt.duration", "server.peer.duration")
    used = {key for name in names for point in recorded.points(name) for key in point.attributes}
    assert used <= allowed


def test_instruments_are_made_once_and_can_be_taken_back(run_asyncio: Run, recorded: Recorded) -> None:
    with pytest.raises(RuntimeError, match="instrumented already"):
        otel.instrument()
    otel.uninstrument()
    otel.uninstrument()

    async def main() -> None:
        async with serve() as server, connect(server.url()) as connection:
            await connection.wait_open(PATIENCE)
            assert recorded.points("client.connections") == []
            assert recorded.points("server.peers") == []

    run_asyncio(main())
    assert recorded.points("client.links") == []
    assert recorded.spans == ()


class Raises(SpanProcessor):
    """A mistake in a program's telemetry."""

    def on_start(self, span: object, parent_context: object = None) -> None:
        raise ValueError(SECRET)

    def on_end(self, span: object) -> None:
        raise ValueError(SECRET)


class RaisesAtTheEnd(Raises):
    def on_start(self, span: object, parent_context: object = None) -> None:
        pass


@pytest.mark.parametrize("processor", [Raises, RaisesAtTheEnd])
def test_a_span_processor_that_raises_costs_no_connection_and_is_logged(
    run_asyncio: Run, processor: type[SpanProcessor], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        tracers = TracerProvider()
        tracers.add_span_processor(processor())
        otel.instrument(tracer_provider=tracers)
        try:
            async with serve() as server, connect(server.url(), backoff=SOON) as connection:
                await connection.wait_open(PATIENCE)
                server.connections[0].abort()
                await until(lambda: connection.stats.links == 2)
        finally:
            otel.uninstrument()

    run_asyncio(main())
    assert "of a span raised ValueError" in caplog.text
    assert SECRET not in caplog.text


def test_without_an_sdk_nothing_is_recorded_and_nothing_breaks(run_asyncio: Run) -> None:
    async def main() -> None:
        otel.instrument()
        try:
            async with serve() as server, connect(server.url(), backoff=SOON) as connection:
                await connection.wait_open(PATIENCE)
                server.connections[0].abort()
                await until(lambda: connection.stats.links == 2)
        finally:
            otel.uninstrument()

    run_asyncio(main())
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_error_of_a_missing_package_names_its_install_command() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import websocket_heartbeat.otel"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'websocket-heartbeat[otel]'" in done.stderr.splitlines()[-1]
