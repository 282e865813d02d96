// The methods of the originals by their names, called and replaced as their users do; and options that change.
// Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { run, opened, page, openedPage } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const COMMON = ["createWebSocket", "reconnect", "send", "heartCheck", "heartStart", "heartReset", "close"];

// The pings of a link over so many milliseconds, of a server that answers all of them.
async function pings(t, socket, milliseconds) {
    const before = socket.sent.length;
    for (let past = 0; past < milliseconds; past += 100) {
        const count = socket.sent.length;
        await t.world.advance(100);
        if (socket.sent.length > count) socket.message("pong");
    }
    return socket.sent.length - before;
}

const checks = {
    async "every method of the originals is there"() {
        const t = await opened();
        for (const name of [...COMMON, "registerHeartBeatEvent"]) assert.strictEqual(typeof t.task[name], "function", name);
        const q = await openedPage();
        for (const name of [...COMMON, "initEventHandle"]) assert.strictEqual(typeof q.heartbeat[name], "function", name);
    },

    async "heartReset() stops heartbeats and the wait for an answer until the next message"() {
        const t = await opened();
        t.task.heartReset();
        assert.strictEqual(await pings(t, t.host.last, 100000), 0);
        t.host.last.message("news");
        assert.ok((await pings(t, t.host.last, 100000)) >= 5);
        t.host.last.message("news");
        await t.world.advance(15001);
        assert.strictEqual(t.task.state, "probing");
        t.task.heartReset();
        assert.strictEqual(t.task.state, "open");
        await t.world.advance(100000);
        assert.strictEqual(t.host.attempts, 1);
        t.task.heartStart();
        await t.world.advance(15001);
        assert.strictEqual(t.task.state, "probing");
        await t.world.advance(12001);
        assert.strictEqual(t.host.attempts, 2, "heartbeats, and the verdict, are back");
    },

    async "heartReset() holds for one link only, and also when the program comes back to the foreground"() {
        const t = await opened();
        t.task.heartReset();
        t.host.emit("AppHide");
        t.host.emit("AppShow");
        await t.world.advance(60000);
        assert.deepStrictEqual([t.host.last.sent, t.host.attempts], [[], 1]);
        t.task.reconnect();
        t.host.last.open();
        await t.world.advance(15001);
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"]);
    },

    async "heartCheck() counts the silence from now on, as a message does"() {
        const q = await openedPage();
        for (let i = 0; i < 10; i += 1) {
            await q.world.advance(14000);
            q.heartbeat.heartCheck();
        }
        assert.deepStrictEqual(q.last.sent, []);
        await q.world.advance(15001);
        assert.strictEqual(q.heartbeat.state, "probing");
        q.heartbeat.heartCheck();
        assert.strictEqual(q.heartbeat.state, "open");
        await q.world.advance(14000);
        assert.strictEqual(q.sockets.length, 1);
    },

    async "heartCheck replaced by nothing means no heartbeats from the next link on"() {
        const q = page();
        q.make();
        q.heartbeat.heartCheck = () => {};
        await q.world.advance(1);
        q.last.open();
        q.last.message("news");
        await q.world.advance(600000);
        assert.deepStrictEqual([q.last.sent, q.sockets.length, q.heartbeat.state], [[], 1, "open"]);
    },

    async "heartStart replaced sends heartbeats of the user's own, and ours stay away"() {
        const q = page();
        q.make();
        let mine = 0;
        q.heartbeat.heartStart = () => {
            mine += 1;
        };
        await q.world.advance(1);
        q.last.open();
        q.last.message("news");
        q.last.message("news");
        await q.world.advance(100000);
        assert.deepStrictEqual([mine, q.last.sent, q.sockets.length], [3, [], 1]);
    },

    async "a heartCheck that calls the one before goes on as ever"() {
        const t = await opened();
        const before = t.task.heartCheck;
        let calls = 0;
        t.task.heartCheck = function () {
            calls += 1;
            before.call(this);
        };
        assert.ok((await pings(t, t.host.last, 100000)) >= 5);
        assert.ok(calls >= 5);
    },

    async "initEventHandle and registerHeartBeatEvent are called for every socket, and may be extended"() {
        const q = await openedPage();
        const init = q.heartbeat.initEventHandle;
        const seen = [];
        q.heartbeat.initEventHandle = function () {
            init.call(this);
            seen.push(this.ws);
        };
        const t = await opened();
        const register = t.task.registerHeartBeatEvent;
        t.task.registerHeartBeatEvent = function () {
            seen.push(this.socketTask);
            register.call(this);
        };
        q.last.lose();
        t.host.last.lose();
        await q.world.advance(2001);
        await t.world.advance(2001);
        assert.deepStrictEqual(seen, [q.last, t.host.last.task]);
        q.last.open();
        t.host.last.open();
        assert.deepStrictEqual([q.heartbeat.state, t.task.state], ["open", "open"]);
    },

    async "createWebSocket is called for every attempt, and may change the address first, now or later"() {
        for (const isLater of [false, true]) {
            const q = await openedPage();
            const create = q.heartbeat.createWebSocket;
            let token = 0;
            q.heartbeat.createWebSocket = function () {
                const go = () => {
                    this.opts.url = `wss://example.com/?${(token += 1)}`;
                    create.call(this);
                };
                if (isLater) Promise.resolve().then(go);
                else go();
            };
            for (let i = 0; i < 2; i += 1) {
                q.last.lose();
                await q.world.advance(2001);
                q.last.open();
            }
            assert.deepStrictEqual(q.sockets.map(({ url }) => url.slice(19)), ["", "1", "2"]);
            assert.strictEqual(q.live(), 1);
            assert.deepStrictEqual(q.world.uncaught, []);
        }
    },

    async "a method of the user's own that throws is seen, and ends nothing"() {
        const t = await opened();
        const fail = () => {
            throw new Error("the user's own");
        };
        t.task.heartCheck = fail;
        t.host.last.message("news");
        await t.world.advance(1);
        assert.strictEqual(t.task.state, "open");
        const create = t.task.createWebSocket;
        t.task.createWebSocket = fail;
        t.host.last.lose();
        await t.world.advance(2001);
        assert.strictEqual(t.world.uncaught.length, 2);
        t.task.createWebSocket = create;
        await t.world.advance(15000);
        assert.ok(t.host.attempts > 1);
    },

    async "a subclass of the page's constructor works as a class does"() {
        const q = page();
        const Base = q.world.load(paths.browser, { self: q.window });
        class Mine extends Base {
            constructor(options) {
                super(options);
                this.opened = 0;
            }

            initEventHandle() {
                super.initEventHandle();
                this.handled = this.ws;
            }

            onopen() {
                this.opened += 1;
            }
        }
        const mine = new Mine({ url: "wss://example.com/" });
        assert.ok(mine instanceof Mine && mine instanceof Base);
        await q.world.advance(1);
        q.last.open();
        assert.strictEqual(mine.handled, q.last);
        assert.strictEqual(mine.state, "open");
    },

    async "handlers of the WebSocket that are called by hand, without an event, throw nothing"() {
        const q = await openedPage();
        q.heartbeat.ws.onopen();
        q.heartbeat.ws.onmessage();
        q.heartbeat.ws.onerror();
        q.heartbeat.ws.onclose();
        assert.deepStrictEqual(q.hooks.map(([name]) => name).slice(-5), ["message", "error", "close", "reconnect", "state"]);
        assert.strictEqual(q.live(), 0, "the socket does not stay behind");
        let forbidden = null;
        q.heartbeat.onclose = () => (forbidden = q.heartbeat.forbidReconnect);
        q.heartbeat.close();
        assert.strictEqual(forbidden, true);
    },

    async "a page's onclose gets an event with a code, a reason and wasClean, whatever the end"() {
        for (const CloseEvent of [undefined, class { constructor(type, about) { Object.assign(this, about, { type }); } }]) {
            const q = page();
            q.window.CloseEvent = CloseEvent;
            q.make();
            await q.world.advance(10001);
            const event = q.hooks.find(([name]) => name === "close")[1];
            assert.deepStrictEqual([event.type, event.code, event.reason, event.wasClean], ["close", 1006, "open timeout", false]);
            if (CloseEvent) assert.ok(event instanceof CloseEvent);
        }
    },

    async "options that are changed while a link is open take effect"() {
        const t = await opened();
        t.task.opts.pingTimeout = 2000;
        t.task.opts.pongTimeout = 500;
        t.task.opts.pingMsg = "beat";
        t.host.last.message("news");
        await t.world.advance(2001);
        assert.deepStrictEqual(t.host.last.sent, ["beat"]);
        await t.world.advance(502);
        assert.strictEqual(t.task.state, "waiting");
        t.task.opts.reconnectTimeout = 100;
        t.task.opts.openTimeout = 300;
        t.task.opts.connectSocketParams = { url: "wss://example.com/other" };
        await t.world.advance(1001);
        assert.strictEqual(t.host.last.params.url, "wss://example.com/other");
        t.host.last.error("refused");
        assert.ok(t.event("Reconnect").delay <= 200, String(t.event("Reconnect").delay));
        t.task.opts.repeatLimit = 2;
        await t.world.advance(201);
        t.host.last.error("refused");
        assert.strictEqual(t.task.state, "failed");
    },

    async "what is set in onOpen holds for the link that has opened"() {
        const q = page();
        q.make();
        q.heartbeat.onopen = () => (q.heartbeat.opts.pingTimeout = 1000);
        await q.world.advance(1);
        q.last.open();
        await q.world.advance(1001);
        assert.deepStrictEqual(q.last.sent, ["heartbeat"]);
    },

    async "an option that is changed to nonsense is told, and the one before stays"() {
        for (const nonsense of ["1 s", NaN, -1, {}]) {
            const t = await opened();
            t.task.opts.pingTimeout = nonsense;
            t.host.last.message("news");
            t.host.last.message("news");
            await t.world.advance(15001);
            assert.deepStrictEqual(t.host.last.sent, ["heartbeat"]);
            assert.strictEqual(t.world.reported.length, 1);
            assert.match(t.world.reported[0].message, /pingTimeout must be a number/);
            delete t.task.opts.pingTimeout;
            t.host.last.message("news");
            assert.strictEqual(t.task.opts.pingTimeout, 15000);
        }
    },
};

run(checks, rejections);
