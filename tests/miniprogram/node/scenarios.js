// Plays scenarios against a built file, as scripted.py does to the adapters in CPython; scripted.py says how.
// Argument: {miniprogram, browser, session: paths, scenarios: path of a JSON array}. Prints the array of logs.
"use strict";
const fs = require("fs");
const { World } = require("./world.js");

const HOOKS = ["Open", "Message", "Close", "Error", "Reconnect", "State", "GiveUp", "Session"];
const ADDRESS = "wss://example.com/";
const SIGNALS = ["AppShow", "AppHide", "NetworkStatusChange"];

function toWire(value) {
    if (Object.prototype.toString.call(value) === "[object ArrayBuffer]") {
        return { base64: Buffer.from(value).toString("base64") };
    }
    if (Object.prototype.toString.call(value) === "[object Error]") return { error: value.message };
    if (Array.isArray(value)) return value.map(toWire);
    if (value && typeof value === "object") {
        const copy = {};
        for (const key of Object.keys(value)) {
            if (value[key] != null && typeof value[key] !== "function" && key !== "native") copy[key] = toWire(value[key]);
        }
        return copy;
    }
    return value === undefined ? null : value;
}

function fromWire(value) {
    if (Array.isArray(value)) return value.map(fromWire);
    if (value && typeof value === "object") {
        if ("base64" in value) return new Uint8Array(Buffer.from(value.base64, "base64")).buffer;
        const copy = {};
        for (const key of Object.keys(value)) copy[key] = fromWire(value[key]);
        return copy;
    }
    return value === null ? undefined : value;
}

class Emitter {
    constructor() {
        this.listeners = {};
        this.live = true;
    }

    add(name, listener) {
        (this.listeners[name] = this.listeners[name] || []).push(listener);
    }

    remove(name, listener) {
        this.listeners[name] = (this.listeners[name] || []).filter((each) => each !== listener);
    }

    emit(name, event) {
        for (const listener of (this.listeners[name] || []).slice()) listener(event);
    }
}

class Play {
    constructor(scenario, paths) {
        this.scenario = scenario;
        this.paths = paths;
        this.config = scenario.host || {};
        this.answers = (this.config.answers || []).slice();
        this.world = new World();
        this.log = [];
        this.world.reported = { push: () => this.note("logged") };
        this.world.warnings = { push: (text) => this.note("warned", text.replace("websocket-heartbeat: ", "")) };
        this.world.uncaught = { push: () => this.note("reported") };
        this.urls = [];
        this.openings = [];
        this.sockets = [];
        this.tasks = [];
        this.params = [];
        this.promises = {};
        this.host = new Emitter();
    }

    note(...words) {
        this.log.push([this.world.time, ...words.map(toWire)]);
    }

    async run() {
        const options = fromWire(this.scenario.options || {});
        if (this.scenario.session) options.session = this.world.load(this.paths.session)(this.scenario.session);
        const url = this.scenario.asking ? () => (this.note("asked"), this.promise(this.urls)) : ADDRESS;
        if (this.scenario.target === "browser") {
            const page = this.makePage();
            const Make = this.world.load(this.paths.browser, { self: page });
            let task;
            try {
                task = new Make({ url, ...options });
            } catch (error) {
                this.note("rejected", error.message);
                return this.log;
            }
            this.hookUp(task, (name) => name.toLowerCase());
        } else {
            const make = this.world.load(this.paths.miniprogram);
            make({ miniprogram: this.makeHost(), connectSocketParams: { url }, ...options }).then(
                (task) => this.hookUp(task, (name) => name),
                (error) => this.note("rejected", error.message)
            );
        }
        await this.world.settle();
        for (const step of this.scenario.steps) {
            await this.step(...step);
            await this.world.settle();
        }
        return this.log;
    }

    // A promise that a step settles.
    promise(list) {
        return {
            then(resolve, reject) {
                list.push({ resolve, reject });
            },
        };
    }

    hookUp(task, spell) {
        this.task = task;
        for (const name of HOOKS) {
            task["on" + spell(name)] = (event) => {
                this.note("hook", name, event);
                const action = (this.scenario.acting || {})[name];
                if (action) this.user(action, "from a hook");
                if ((this.scenario.throwing || []).includes(name)) throw new Error("the user's own");
                return name === "Open" && this.scenario.opening ? this.promise(this.openings) : undefined;
            };
        }
    }

    async step(kind, what, first, second) {
        if (kind === "advance") await this.world.advance(what);
        else if (kind === "user") this.user(what, first);
        else if (SIGNALS.includes(what)) this.host.emit(what, fromWire(first));
        else if (this.scenario.target === "browser" && ["online", "offline", "show", "hide"].includes(what)) this.pageSignal(what);
        else this.socketEvent(what, first, fromWire(second));
    }

    socketEvent(what, given, event) {
        const link = given || this.sockets.length;
        const socket = this.sockets[link - 1];
        if (!socket) return;
        if (what === "refuse") {
            socket.refuses = event;
        } else if (what === "resolve" || what === "reject") {
            const callbacks = this.promises[link];
            delete this.promises[link];
            if (callbacks) socket.live = what === "resolve";
            if (callbacks) callbacks[what](what === "resolve" ? this.tasks[link - 1] : event);
        } else if (what === "fail") {
            socket.live = false;
            if (this.params[link - 1].fail) this.params[link - 1].fail(event);
        } else {
            if (what === "Close" || what === "Error") socket.live = false;
            (this.config.single ? this.host : socket).emit(what, event);
        }
    }

    user(what, argument) {
        if (what === "url" || what === "opened") {
            const promise = (what === "url" ? this.urls : this.openings).shift();
            if (promise) promise[argument ? "resolve" : "reject"](argument ? ADDRESS : { errMsg: "no token" });
            return;
        }
        if (!this.task) return;
        if (what === "send") {
            if (this.scenario.target === "browser") {
                this.note("sent", this.task.send(fromWire(argument)));
                return;
            }
            const message = {
                data: fromWire(argument),
                fail: (result) => this.note("fail", result),
                complete: (result) => this.note("complete", result),
            };
            this.note("sent", this.task.send(message));
        } else if (what === "option") {
            this.task.opts.pingTimeout = 4000;
            this.task.opts.repeatLimit = 1;
        } else if (what === "forbid") {
            this.task.forbidReconnect = true;
        } else {
            this.task[what]();
        }
        this.note("state", this.task.state, this.task.repeat, this.task.forbidReconnect);
    }

    makeHost() {
        const host = { connectSocket: (params) => this.connect(params) };
        for (const name of SIGNALS) this.wire(host, "on" + name, "off" + name, this.host, name, "host");
        if (this.config.single) {
            for (const name of HOOKS.slice(0, 4)) this.wire(host, "onSocket" + name, "offSocket" + name, this.host, name, "host");
            host.sendSocketMessage = (message) => this.note("send", "host", message);
            host.closeSocket = (params) => this.note("close", "host", params);
        }
        return host;
    }

    wire(target, on, off, source, name, owner) {
        target[on] = (listener) => {
            this.note("on", owner, name);
            source.add(name, listener);
        };
        if (this.config.off || this.config.single) {
            target[off] = (listener) => {
                this.note("off", owner, name);
                source.remove(name, listener);
            };
        }
    }

    connect(params) {
        this.note("connectSocket", params);
        const socket = new Emitter();
        this.sockets.push(socket);
        this.params.push(params);
        const number = this.sockets.length;
        const answer = this.answers.length ? this.answers.shift() : "task";
        const task = {
            send: (message) => {
                this.note("send", number, message);
                if (socket.refuses) message.fail({ errMsg: "send:fail interrupted" });
                else if (!socket.live) throw new Error("send:fail");
            },
            close: (given) => {
                this.note("close", number, given);
                socket.live = false;
            },
        };
        for (const name of HOOKS.slice(0, 4)) this.wire(task, "on" + name, "off" + name, socket, name, number);
        this.tasks.push(task);
        if (["throw", "nothing", "error", "fail"].includes(answer)) socket.live = false;
        if (answer === "throw") throw new Error("connectSocket:fail");
        if (answer === "fail") params.fail({ errMsg: "connectSocket:fail interrupted" });
        if (answer === "error") return { errMsg: "connectSocket:fail" };
        if (answer === "ready" || answer === "dead") task.readyState = answer === "ready" ? 1 : 3;
        if (answer === "late") task.readyState = 1;
        if (answer === "promise" || answer === "late") {
            return {
                then: (resolve, reject) => {
                    this.promises[number] = { resolve, reject };
                },
            };
        }
        return answer === "nothing" || this.config.single ? undefined : task;
    }

    makePage() {
        const play = this;
        const listening = (kind, owner) => (name, listener) => {
            play.note(kind, owner, name);
            if (kind === "on") play.host.add(name, listener);
            else play.host.remove(name, listener);
        };
        this.page = {
            addEventListener: listening("on", "window"),
            removeEventListener: listening("off", "window"),
            document: {
                hidden: false,
                addEventListener: listening("on", "document"),
                removeEventListener: listening("off", "document"),
            },
            WebSocket: class extends Emitter {
                constructor(url, protocols) {
                    super();
                    play.note("WebSocket", url, protocols);
                    if (play.answers.length && play.answers.shift() === "throw") throw new Error("The URL is invalid.");
                    play.sockets.push(this);
                    this.number = play.sockets.length;
                }

                emit(name, event) {
                    const listener = this["on" + name.toLowerCase()];
                    if (listener) listener(event === undefined ? {} : event);
                }

                send(data) {
                    play.note("send", this.number, data);
                    if (!this.live) throw new Error("InvalidStateError");
                }

                close(...given) {
                    play.note("close", this.number, given);
                    this.live = false;
                }
            },
        };
        return this.page;
    }

    pageSignal(what) {
        if (what === "show" || what === "hide") {
            this.page.document.hidden = what === "hide";
            this.host.emit("visibilitychange", { type: "visibilitychange" });
        } else {
            this.host.emit(what, { type: what });
        }
    }
}

(async () => {
    const given = JSON.parse(process.argv[2]);
    const logs = [];
    for (const scenario of JSON.parse(fs.readFileSync(given.scenarios, "utf8"))) {
        logs.push(await new Play(scenario, given).run());
    }
    console.log(JSON.stringify(logs));
})();
