"""Plays a scenario against the adapters in CPython: a clock, a host and a user that do as it says.

node/scenarios.js does the same to the built JavaScript. A scenario is a dict:

    target      "miniprogram" (the default) or "browser"
    options     the options, without the host and the url
    session     the mode of the session; none without it
    host        single: all goes over the host's own functions; off: tasks and host can remove listeners;
                answers: what connectSocket does, attempt by attempt, "task" once used up:
                task, promise, nothing, error (an object, no task), throw, fail (and a task), ready, dead,
                late (a promise of a task that is open already)
    asking      whether the url comes by a promise: ["user", "url", true or false] settles the oldest
    opening     whether onOpen returns a promise: ["user", "opened", true or false] settles the oldest
    throwing    names of hooks that throw
    acting      what hooks do with the task, by their names: a method, send, forbid or option
    steps       ["advance", ms], ["host", what, link (0 for the latest), event], ["user", what, argument];
                the host may refuse (link, whether its `send` fails), and resolve or reject a promise

The log has every call that the host gets and everything that the user is told, each with its time.
"""

import base64
import logging
from collections.abc import Callable
from typing import Any

from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.language import Record
from websocket_heartbeat.miniprogram.session import Session
from websocket_heartbeat.miniprogram.task import MiniProgramTask
from websocket_heartbeat.miniprogram.web_socket import BrowserTask

URL = "wss://example.com/"
HOOKS = ("Open", "Message", "Close", "Error", "Reconnect", "State", "GiveUp", "Session")
reported_to = logging.getLogger("websocket_heartbeat.miniprogram")
SIGNALS = ("AppShow", "AppHide", "NetworkStatusChange")


class VirtualClock(Clock):
    """Time that moves when told, in milliseconds, and chance that is always one half."""

    def __init__(self) -> None:
        self.time: float = 1000000
        self._timers: dict[int, tuple[float, Callable[[], None]]] = {}
        self._count = 0

    def now(self) -> float:
        return self.time / 1000

    def random(self) -> float:
        return 0.5

    def start_timer(self, callback: Callable[[], None], milliseconds: float) -> int:
        self._count += 1
        self._timers[self._count] = (self.time + milliseconds, callback)
        return self._count

    def stop_timer(self, timer: Any) -> None:
        self._timers.pop(timer, None)

    def advance(self, milliseconds: float) -> None:
        end = self.time + milliseconds
        while due := [(at, number) for number, (at, _) in self._timers.items() if at <= end]:
            at, number = min(due)
            self.time = max(self.time, at)
            self._timers.pop(number)[1]()
        self.time = end

    @property
    def timers(self) -> int:
        return len(self._timers)


def to_wire(value: Any) -> Any:
    """A value as the log has it: bytes by name, no functions, nothing that is absent."""
    if isinstance(value, Exception):
        return {"error": str(value)}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [to_wire(each) for each in value]
    if isinstance(value, dict):
        return {
            key: to_wire(each)
            for key, each in value.items()
            if each is not None and not callable(each) and key != "native"
        }
    return value


def from_wire(value: Any) -> Any:
    """A value of a scenario as a host gives it."""
    if isinstance(value, dict):
        if "base64" in value:
            return base64.b64decode(value["base64"])
        return Record({key: from_wire(each) for key, each in value.items()})
    return value


class Emitter:
    """Something with listeners. `live` tells whether the socket is not closed, as far as the host knows."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Any]] = {}
        self.live = True
        self.refuses = False

    def add(self, name: str, listener: Any) -> None:
        self.listeners.setdefault(name, []).append(listener)

    def remove(self, name: str, listener: Any) -> None:
        self.listeners[name] = [each for each in self.listeners.get(name, []) if each is not listener]

    def emit(self, name: str, event: Any) -> None:
        for listener in list(self.listeners.get(name, [])):
            listener(event)


class Promise:
    """A thenable that a scenario settles."""

    def __init__(self) -> None:
        self._callbacks: tuple[Any, Any] = (None, None)

    def then(self, resolved: Any, rejected: Any) -> None:
        self._callbacks = (resolved, rejected)

    def settle(self, value: Any, is_good: bool) -> None:
        callback = self._callbacks[0 if is_good else 1]
        self._callbacks = (None, None)
        if callback is not None:
            callback(value)


class Reports(logging.Handler):
    """Notes in a play's log what the user was shown: a hook's own error, which JavaScript throws later."""

    def __init__(self, play: "Play") -> None:
        super().__init__()
        self.play = play

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.play.note("warned", record.getMessage())
        elif record.getMessage().startswith("a hook of a mini program "):
            self.play.clock.start_timer(lambda: self.play.note("reported"), 0)
        else:
            self.play.note("logged")


class Play:
    """One scenario being played."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.scenario = scenario
        self.config = scenario.get("host", {})
        self.answers = list(self.config.get("answers", []))
        self.clock = VirtualClock()
        self.log: list[list[Any]] = []
        self.sockets: list[Emitter] = []
        self.tasks: list[Any] = []
        self.params: list[Any] = []
        self.promises: dict[int, Promise] = {}
        self.host = Emitter()
        self.task: Any = None
        self.rejected = False
        self.urls: list[Promise] = []
        self.openings: list[Promise] = []

    def note(self, *words: Any) -> None:
        self.log.append([self.clock.time, *(to_wire(word) for word in words)])

    def run(self) -> list[list[Any]]:
        reports = Reports(self)
        reported_to.addHandler(reports)
        try:
            self.play()
        finally:
            reported_to.removeHandler(reports)
        return self.log

    def play(self) -> None:
        options = from_wire(self.scenario.get("options", {}))
        if "session" in self.scenario:
            options["session"] = Session(self.scenario["session"])
        try:
            if self.scenario.get("target") == "browser":
                task: Any = BrowserTask(self.clock, self.page(), Record(url=self.url(), **options))
                self.hook_up(task, str.lower)
                task.begin(lambda ready: None)
            else:
                params = {"url": self.url()}
                given = Record(miniprogram=self.make_host(), connectSocketParams=params, **options)
                MiniProgramTask(self.clock, given).begin(lambda task: self.hook_up(task, str))
        except ValueError as error:
            self.note("rejected", str(error))
            return
        for step in self.scenario["steps"]:
            self.step(*step)

    def url(self) -> Any:
        def asked() -> Promise:
            self.note("asked")
            self.urls.append(Promise())
            return self.urls[-1]

        return asked if self.scenario.get("asking") else URL

    def hook_up(self, task: Any, spell: Callable[[str], str]) -> None:
        self.task = task
        for name in HOOKS:
            setattr(task, "on" + spell(name), self.hook(name))

    def hook(self, name: str) -> Callable[[Any], Any]:
        def hook(event: Any) -> Any:
            self.note("hook", name, event)
            action = self.scenario.get("acting", {}).get(name)
            if action is not None:
                self.user(action, "from a hook")
            if name in self.scenario.get("throwing", []):
                raise RuntimeError("the user's own")
            if name == "Open" and self.scenario.get("opening"):
                self.openings.append(Promise())
                return self.openings[-1]
            return None

        return hook

    def step(self, kind: str, what: Any = None, first: Any = None, second: Any = None) -> None:
        if kind == "advance":
            self.clock.advance(what)
        elif kind == "user":
            self.user(what, first)
        elif what in SIGNALS:
            self.host.emit(what, from_wire(first))
        elif self.scenario.get("target") == "browser" and what in ("online", "offline", "show", "hide"):
            self.page_signal(what)
        else:
            self.socket_event(what, first, from_wire(second))

    def socket_event(self, what: str, link: int, event: Any) -> None:
        link = link or len(self.sockets)
        if not 0 < link <= len(self.sockets):
            return
        if what == "refuse":
            self.sockets[link - 1].refuses = event
        elif what in ("resolve", "reject"):
            if promise := self.promises.pop(link, None):
                self.sockets[link - 1].live = what == "resolve"
                promise.settle(self.tasks[link - 1] if what == "resolve" else event, what == "resolve")
        elif what == "fail":
            self.sockets[link - 1].live = False
            if fail := self.params[link - 1].get("fail"):
                fail(event)
        else:
            if what in ("Close", "Error"):
                self.sockets[link - 1].live = False
            source = self.host if self.config.get("single") else self.sockets[link - 1]
            source.emit(what, event)

    def user(self, what: str, argument: Any) -> None:
        if what in ("url", "opened"):
            promises = self.urls if what == "url" else self.openings
            if promises:
                promises.pop(0).settle(URL if argument else Record(errMsg="no token"), bool(argument))
            return
        if self.task is None:
            return
        if what == "send":
            if self.scenario.get("target") == "browser":
                self.note("sent", self.task.send(from_wire(argument)))
                return
            message = {
                "data": from_wire(argument),
                "fail": lambda result: self.note("fail", result),
                "complete": lambda result: self.note("complete", result),
            }
            self.note("sent", self.task.send(message))
        elif what == "option":
            self.task.opts["pingTimeout"] = 4000
            self.task.opts["repeatLimit"] = 1
        elif what == "forbid":
            self.task.forbidReconnect = True
        else:
            getattr(self.task, what)()
        self.note("state", self.task.state, self.task.repeat, self.task.forbidReconnect)

    # The hosts

    def make_host(self) -> Record:
        host = Record(connectSocket=self.connect)
        for name in SIGNALS:
            self.wire(host, "on" + name, "off" + name, self.host, name, "host")
        if self.config.get("single"):
            for name in HOOKS[:4]:
                self.wire(host, "onSocket" + name, "offSocket" + name, self.host, name, "host")
            host["sendSocketMessage"] = lambda message: self.note("send", "host", message)
            host["closeSocket"] = lambda params: self.note("close", "host", params)
        return host

    def wire(self, target: Record, on: str, off: str, source: Emitter, name: str, owner: Any) -> None:
        def add(listener: Any) -> None:
            self.note("on", owner, name)
            source.add(name, listener)

        def remove(listener: Any) -> None:
            self.note("off", owner, name)
            source.remove(name, listener)

        target[on] = add
        if self.config.get("off") or self.config.get("single"):
            target[off] = remove

    def connect(self, params: dict[str, Any]) -> Any:
        self.note("connectSocket", params)
        socket = Emitter()
        self.sockets.append(socket)
        self.params.append(params)
        number = len(self.sockets)
        answer = self.answers.pop(0) if self.answers else "task"

        def send(message: Any) -> None:
            self.note("send", number, message)
            if socket.refuses:
                message["fail"](Record(errMsg="send:fail interrupted"))
            elif not socket.live:
                raise RuntimeError("send:fail")

        def close(params: Any) -> None:
            self.note("close", number, params)
            socket.live = False

        task = Record(send=send, close=close)
        for name in HOOKS[:4]:
            self.wire(task, "on" + name, "off" + name, socket, name, number)
        self.tasks.append(task)
        if answer in ("throw", "nothing", "error", "fail"):
            socket.live = False
        if answer == "throw":
            raise RuntimeError("connectSocket:fail")
        if answer == "fail":
            params["fail"](Record(errMsg="connectSocket:fail interrupted"))
        if answer == "error":
            return Record(errMsg="connectSocket:fail")
        if answer in ("ready", "dead"):
            task["readyState"] = 1 if answer == "ready" else 3
        if answer == "late":
            task["readyState"] = 1
        if answer in ("promise", "late"):
            self.promises[number] = Promise()
            return self.promises[number]
        return None if answer == "nothing" or self.config.get("single") else task

    def page(self) -> Any:
        play = self

        class Page:
            def __init__(self) -> None:
                self.addEventListener = self.listening("on", "window")
                self.removeEventListener = self.listening("off", "window")
                self.document = Record(
                    hidden=False,
                    addEventListener=self.listening("on", "document"),
                    removeEventListener=self.listening("off", "document"),
                )

            def listening(self, kind: str, owner: str) -> Callable[[str, Any], None]:
                def listening(name: str, listener: Any) -> None:
                    play.note(kind, owner, name)
                    (play.host.add if kind == "on" else play.host.remove)(name, listener)

                return listening

            def WebSocket(self, url: str, protocols: Any = None) -> Any:  # noqa: N802 # the page's name
                play.note("WebSocket", url, protocols)
                if play.answers and play.answers.pop(0) == "throw":
                    raise RuntimeError("The URL is invalid.")
                return PageSocket(play)

        self.page_object = Page()
        return self.page_object

    def page_signal(self, what: str) -> None:
        if what in ("show", "hide"):
            self.page_object.document["hidden"] = what == "hide"
            self.host.emit("visibilitychange", Record(type="visibilitychange"))
        else:
            self.host.emit(what, Record(type=what))


class PageSocket(Emitter):
    """A WebSocket of a page."""

    def __init__(self, play: Play) -> None:
        super().__init__()
        self._play = play
        play.sockets.append(self)
        self._number = len(play.sockets)

    def emit(self, name: str, event: Any) -> None:
        listener = getattr(self, "on" + name.lower(), None)
        if listener is not None:
            listener(event if event is not None else Record())

    def send(self, data: Any) -> None:
        self._play.note("send", self._number, data)
        if not self.live:
            raise RuntimeError("InvalidStateError")

    def close(self, *arguments: Any) -> None:
        self._play.note("close", self._number, list(arguments))
        self.live = False


def play(scenario: dict[str, Any]) -> list[list[Any]]:
    """Play a scenario; return its log."""
    return Play(scenario).run()
