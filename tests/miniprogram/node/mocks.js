// Hosts that a test plays: sockets that do what it says, in the shapes of the platforms that testing/phone has.
"use strict";

const NAMES = ["Open", "Message", "Close", "Error"];

// The host's end of one socket. `task` is what the program gets.
class Socket {
    constructor(host, params) {
        this.host = host;
        this.params = params;
        this.state = "connecting";
        this.sent = [];
        this.closes = [];
        this.listeners = { Open: [], Message: [], Close: [], Error: [] };
        this.onSend = null; // May throw, or return false: then `fail` is called.
        this.closing = "close"; // close: onClose follows; silent; fail; throw
        const socket = this;
        this.task = {
            send(message) {
                return socket.send(message);
            },
            close(given) {
                return socket.close(given);
            },
        };
        for (const name of NAMES) {
            this.task["on" + name] = (listener) => {
                socket.listeners[name].push(listener);
            };
        }
    }

    get isLive() {
        return this.state === "connecting" || this.state === "open";
    }

    emit(name, event) {
        for (const listener of this.listeners[name].slice()) this.host.world.call(listener, event);
    }

    open(event) {
        this.state = "open";
        this.emit("Open", event === undefined ? { header: {} } : event);
    }

    message(data) {
        this.emit("Message", { data });
    }

    lose(code, reason) {
        this.state = "closed";
        this.emit("Close", { code: code === undefined ? 1006 : code, reason: reason || "" });
    }

    error(errMsg) {
        this.state = "closed";
        this.emit("Error", { errMsg: errMsg || "error" });
    }

    send(message) {
        this.sent.push(message.data);
        let good = this.state === "open";
        if (this.onSend) good = this.onSend(message) !== false && good;
        if (!good && message.fail) message.fail({ errMsg: "send:fail" });
        if (good && message.success) message.success({ errMsg: "send:ok" });
    }

    close(given) {
        this.closes.push(given);
        if (this.closing === "throw") throw new Error("close:fail");
        if (this.closing === "fail") {
            if (given && given.fail) given.fail({ errMsg: "close:fail interrupted" });
            return;
        }
        const wasLive = this.isLive;
        this.state = "closed";
        if (this.closing === "close" && wasLive) {
            setImmediate(() => this.emit("Close", { code: 1000, reason: "" }));
        }
    }
}

// wx and its like: a task at once. `answer(socket, params, attempt)` may do things, throw, or return a result instead.
class TaskHost {
    constructor(world, answer) {
        this.world = world;
        this.sockets = [];
        this.attempts = 0;
        this.answer = answer;
        this.listeners = { AppShow: [], AppHide: [], NetworkStatusChange: [] };
        this.offs = [];
        for (const name of Object.keys(this.listeners)) {
            this["on" + name] = (listener) => {
                this.listeners[name].push(listener);
            };
            this["off" + name] = (listener) => {
                this.offs.push([name, listener]);
                this.listeners[name] = listener ? this.listeners[name].filter((each) => each !== listener) : [];
            };
        }
    }

    connectSocket(params) {
        const socket = new Socket(this, params);
        this.sockets.push(socket);
        this.attempts += 1;
        if (this.answer) {
            const answer = this.answer(socket, params, this.attempts);
            if (answer !== undefined) return answer.value;
        }
        return socket.task;
    }

    get last() {
        return this.sockets[this.sockets.length - 1];
    }

    get live() {
        return this.sockets.filter((socket) => socket.isLive);
    }

    emit(name, event) {
        for (const listener of this.listeners[name].slice()) this.world.call(listener, event);
    }
}

// my, with its single socket: nothing is returned, and all goes over the host's own functions, which need `this`.
class SingleHost {
    constructor(world) {
        this.world = world;
        this.attempts = 0;
        this.sent = [];
        this.closes = 0;
        this.registeredAtConnect = [];
        this.offWithoutListener = 0;
        this.state = "closed";
        this.autoClose = true;
        this.listeners = { Open: [], Message: [], Close: [], Error: [] };
        for (const name of NAMES) {
            this["onSocket" + name] = function (listener) {
                this.listeners[name].push(listener);
            };
            this["offSocket" + name] = function (listener) {
                if (!listener) this.offWithoutListener += 1;
                this.listeners[name] = listener ? this.listeners[name].filter((each) => each !== listener) : [];
            };
        }
    }

    connectSocket(params) {
        this.params = params;
        this.attempts += 1;
        this.registeredAtConnect.push(NAMES.every((name) => this.listeners[name].length > 0));
        this.state = "connecting";
    }

    sendSocketMessage(message) {
        this.sent.push(message);
    }

    closeSocket() {
        this.closes += 1;
        if (this.state !== "closed" && this.autoClose) {
            this.state = "closed";
            setImmediate(() => this.emit("Close", { reason: "closed" }));
        }
    }

    open() {
        this.state = "open";
        this.emit("Open");
    }

    emit(name, event) {
        for (const listener of this.listeners[name].slice()) this.world.call(listener, event);
    }

    // A host whose functions work without `this`.
    bound() {
        const names = ["connectSocket", "sendSocketMessage", "closeSocket"];
        for (const name of NAMES) names.push("onSocket" + name, "offSocket" + name);
        for (const name of names) this[name] = this[name].bind(this);
        return this;
    }
}

// One socket again, and room for one: a second is refused. Says some time later that a socket has closed.
class SlotHost extends SingleHost {
    constructor(world, late) {
        super(world);
        this.late = late;
        this.taken = null;
        this.refused = 0;
    }

    connectSocket(params) {
        super.connectSocket(params);
        if (this.taken) {
            this.refused += 1;
            this.later(1, () => params.fail({ error: 3, errorMessage: "already exists" }));
            return;
        }
        const socket = (this.taken = {});
        this.later(50, () => {
            if (this.taken === socket) this.open();
        });
    }

    sendSocketMessage(message) {
        super.sendSocketMessage(message);
        this.later(5, () => {
            if (this.taken) this.emit("Message", { data: "pong", isBuffer: false });
        });
    }

    closeSocket() {
        this.closes += 1;
        if (!this.taken) return;
        this.taken = null;
        this.later(this.late, () => this.emit("Close", { reason: "closed" }));
    }

    later(wait, callback) {
        this.world.context.setTimeout(callback, wait);
    }
}

// A page: WebSocket with the states and the exceptions of a browser. `page.sockets` are all that were made.
function makePage(world) {
    const page = { sockets: [], listeners: {}, document: { hidden: false, listeners: {} } };
    function listening(target) {
        target.addEventListener = (name, listener) => {
            (target.listeners[name] = target.listeners[name] || []).push(listener);
        };
        target.removeEventListener = (name, listener) => {
            target.listeners[name] = (target.listeners[name] || []).filter((each) => each !== listener);
        };
        target.emit = (type, members) => {
            for (const listener of (target.listeners[type] || []).slice()) world.call(listener, { type, ...members });
        };
    }
    listening(page);
    listening(page.document);
    page.WebSocket = class {
        constructor(url, protocols) {
            if (!/^wss?:\/\/[^ ]+$/.test(url)) throw new SyntaxError("The URL is invalid.");
            this.url = url;
            this.protocols = protocols;
            this.readyState = 0;
            this.sent = [];
            this.closing = "close";
            page.sockets.push(this);
        }

        get isLive() {
            return this.readyState < 2;
        }

        emit(name, event) {
            if (this["on" + name]) world.call(this["on" + name], event);
        }

        open() {
            this.readyState = 1;
            this.emit("open", { type: "open" });
        }

        message(data) {
            this.emit("message", { type: "message", data });
        }

        lose(code, reason) {
            this.readyState = 3;
            this.emit("close", { type: "close", code: code || 1006, reason: reason || "", wasClean: false });
        }

        refuse() {
            this.readyState = 3;
            this.emit("error", { type: "error" });
            this.emit("close", { type: "close", code: 1006, reason: "", wasClean: false });
        }

        send(data) {
            if (this.readyState === 0) throw new Error("InvalidStateError");
            this.sent.push(data);
        }

        close() {
            if (this.readyState >= 2) return;
            const wasConnecting = this.readyState === 0;
            this.readyState = 2;
            if (this.closing === "close") {
                setImmediate(() => {
                    if (wasConnecting) this.emit("error", { type: "error" });
                    this.lose(wasConnecting ? 1006 : 1000);
                });
            }
        }
    };
    return page;
}

module.exports = { Socket, TaskHost, SingleHost, SlotHost, makePage, NAMES };
