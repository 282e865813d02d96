// Runs the built library with a session, in a mini program or in what is a page for it, and is led by lines.
// Arguments: a JSON object: library, session (files), kind (page, or as in hosts.js), bundles (a directory), modules (with ws), url, mode, how (options of
// Session), options (of the library), holding: onMessage returns a promise that {handle: true} settles; place: for
// snapshots a file, and faulty, which of save and load throws.
// Reads lines of JSON: {send: text, volatile}, {bytes: [...]}, {flush: true}, {renew: true}, {handle: true}, {hide: true}, {show: true},
// {close: reason} or {end: true}, after which there are no more lines, as after {close}. Prints what the user is told,
// one JSON array a line.
"use strict";
const fs = require("fs");
const path = require("path");
const readline = require("readline");

const about = JSON.parse(process.argv[2]);
const { kind, url, mode, how, place, options, holding } = about;
const library = require(about.library);
const Session = require(about.session);

const say = (...words) => console.log(JSON.stringify(words));
const show = (data) => (typeof data === "string" ? data : [...new Uint8Array(data)]);
const held = [];
const hooks = {
    Open: ({ session, protocol }) => say("open", session || null, protocol || ""),
    Message: ({ data }) => {
        say("message", show(data));
        if (holding) return new Promise((resolve) => held.push(resolve));
    },
    Close: ({ code, reason }) => say("close", code || null, reason),
    Error: (error) => say("error", error.errMsg || error.message || ""),
    State: (state) => say("state", state),
    GiveUp: ({ reason }) => say("gave up", reason),
    Session: ({ kind, why, uncertain }) => say("session", kind, why, uncertain.map(show)),
};

const snapshot = place && {
    save(text) {
        if (place.faulty === "save") throw new Error("no room");
        fs.writeFileSync(place.file, text);
        say("save", text.length);
    },
    load() {
        if (place.faulty === "load") throw new Error("no disk");
        return fs.readFileSync(place.file, "utf8");
    },
};

// The events of a page or a host that tell of the background.
const listeners = {};
const emit = (name, event) => (listeners[name] || []).forEach((listener) => listener(event));
const addEventListener = (name, listener) => (listeners[name] = [...(listeners[name] || []), listener]);
const removeEventListener = (name, listener) => {
    listeners[name] = (listeners[name] || []).filter((each) => each !== listener);
};

function begin() {
    const session = mode ? Session(mode, snapshot ? { ...how, snapshot } : how) : "off";
    if (place) process.on("uncaughtException", (error) => say("uncaught", error.message));
    if (kind === "page") {
        if (place) Object.assign(global, { addEventListener, removeEventListener });
        const page = new library({ url, session, ...options });
        for (const name of Object.keys(hooks)) page["on" + name.toLowerCase()] = hooks[name];
        return Promise.resolve({
            send: (data, volatile) => page.send(data, { volatile }),
            close: (reason) => page.close(1000, reason),
            flush: () => page.flush(),
            renew: () => page.renew(),
            hide: () => emit("pagehide", {}),
            show: () => emit("pageshow", { persisted: true }),
        });
    }
    const { WebSocket } = require(path.join(about.modules, "ws"));
    const miniprogram = require("./hosts.js")(kind, about.bundles, WebSocket);
    if (place) {
        for (const name of ["AppHide", "AppShow"]) {
            miniprogram["on" + name] = (listener) => addEventListener(name, listener);
            miniprogram["off" + name] = (listener) => removeEventListener(name, listener);
        }
    }
    return library({ miniprogram, connectSocketParams: { url }, session, ...options }).then((task) => {
        for (const name of Object.keys(hooks)) task["on" + name] = hooks[name];
        return {
            send: (data, volatile) => task.send({
                data, volatile, success: () => say("success"), fail: ({ errMsg }) => say("fail", errMsg),
            }),
            close: (reason) => task.close({ code: 1000, reason }),
            flush: () => task.flush(),
            renew: () => task.renew(),
            hide: () => emit("AppHide"),
            show: () => emit("AppShow"),
        };
    });
}

begin().then((task) => {
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", (line) => {
        const order = JSON.parse(line);
        if (order.send !== undefined) say("sent", task.send(order.send, order.volatile));
        if (order.bytes) say("sent", task.send(new Uint8Array([0, ...order.bytes, 0]).subarray(1, -1)));
        if (order.flush) task.flush().then(() => say("flushed"), (error) => say("not flushed", error.message));
        if (order.handle) held.shift()();
        if (order.renew) task.renew();
        if (order.hide) say("hidden", task.hide());
        if (order.show) say("shown", task.show());
        if (order.close !== undefined) task.close(order.close);
        if (order.close !== undefined || order.end) {
            lines.close();
            process.stdin.destroy();
        }
    });
});
