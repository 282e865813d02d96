// What users of websocket-heartbeat-miniprogram rely on, and what they get wrong. Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { run, program, opened, page, openedPage } = require("./program.js")(paths);
const { SingleHost, SlotHost, TaskHost } = require("./mocks.js");

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

function refusing(socket) {
    setImmediate(() => socket.error("refused"));
}

const checks = {
    async "an unreachable server is tried four times with repeatLimit 4, within 8 s"() {
        for (const random of [0, 0.5, 0.999]) {
            const t = await program(refusing, { repeatLimit: 4 });
            t.world.random = random;
            await t.world.advance(8000);
            assert.ok(t.task.repeat > 3 && t.task.repeat <= 4);
            await t.world.advance(18000);
            assert.strictEqual(t.task.repeat, 4);
        }
    },

    async "an unreachable server is tried more than five times within 18 s"() {
        for (const random of [0, 0.5, 0.999]) {
            const t = await program(refusing);
            t.world.random = random;
            await t.world.advance(18000);
            assert.ok(t.task.repeat > 5);
        }
    },

    async "onReconnect is called before each attempt"() {
        const seen = [];
        const t = await program(refusing);
        t.task.onReconnect = () => seen.push([t.task.repeat, t.host.attempts]);
        await t.world.advance(6000);
        for (const [repeat, attempts] of seen) assert.strictEqual(repeat, attempts);
        assert.ok(seen.length >= 2);
    },

    async "the defaults are those of the original, and the options are on the task"() {
        const t = await program();
        const { miniprogram, connectSocketParams, ...rest } = t.task.opts;
        assert.strictEqual(miniprogram, t.host);
        assert.strictEqual(connectSocketParams.url, "wss://example.com/");
        assert.deepStrictEqual({ ...rest }, {
            pingTimeout: 15000,
            pongTimeout: 10000,
            reconnectTimeout: 2000,
            maxReconnectTimeout: 60000,
            openTimeout: 10000,
            stableAfter: 30000,
            sendQueue: 256,
            repeatLimit: null,
            pingMsg: "heartbeat",
            bothDirections: false,
            finalCloseCodes: null,
        });
        assert.strictEqual(t.task.socketTask, t.host.last.task);
        assert.strictEqual(t.task.repeat, 0);
        assert.strictEqual(t.task.forbidReconnect, false);
    },

    async "the parameters of connectSocket reach the host, callbacks included, and are not changed"() {
        const seen = [];
        const given = {
            url: "wss://example.com/",
            header: { a: "b" },
            protocols: ["chat"],
            fail: (result) => seen.push(result.errMsg),
        };
        const copy = { ...given };
        const t = await program((socket, params) => params.fail({ errMsg: "no" }), { connectSocketParams: given });
        assert.deepStrictEqual(given, copy);
        assert.deepStrictEqual(t.host.last.params.header, { a: "b" });
        assert.deepStrictEqual(t.host.last.params.protocols, ["chat"]);
        assert.deepStrictEqual(seen, ["no"]);
    },

    async "what is wrong among the options rejects with an Error that names it"() {
        const wrong = {
            miniprogram: [{ miniprogram: undefined }, { miniprogram: "wx" }, { miniprogram: {} }],
            "connectSocketParams.url": [
                { connectSocketParams: undefined },
                { connectSocketParams: {} },
                { connectSocketParams: { url: "" } },
                { connectSocketParams: { url: 3 } },
            ],
        };
        for (const name of ["pingTimeout", "pongTimeout", "maxReconnectTimeout", "openTimeout"]) {
            wrong[name] = ["15000", 0, -1, NaN, -Infinity, true, {}].map((value) => ({ [name]: value }));
        }
        for (const name of ["reconnectTimeout", "stableAfter", "sendQueue", "repeatLimit"]) {
            wrong[name] = ["1", -1, NaN, true, {}].map((value) => ({ [name]: value }));
        }
        for (const [name, cases] of Object.entries(wrong)) {
            for (const options of cases) {
                const t = await program(undefined, options);
                assert.strictEqual(Object.prototype.toString.call(t.error), "[object Error]", name);
                assert.ok(t.error.message.includes(name), t.error.message);
                assert.strictEqual(t.host.attempts, 0);
                assert.strictEqual(t.world.timers.length, 0);
            }
        }
    },

    async "Infinity is a number: no limit, or no ping that anybody lives to see"() {
        const options = { repeatLimit: Infinity, sendQueue: Infinity, pingTimeout: Infinity };
        const t = await opened(undefined, options);
        await t.world.advance(86400000);
        assert.deepStrictEqual(t.host.last.sent, []);
        assert.deepStrictEqual(t.names(), ["Open"]);
    },

    async "no options at all reject, too"() {
        const { World } = require("./world.js");
        for (const options of [undefined, null, "wx", 3]) {
            const make = new World().load(paths.miniprogram);
            await assert.rejects(Promise.resolve(make(options)).then(), /miniprogram/);
        }
    },

    async "a page without a url is told so by an exception"() {
        for (const url of [undefined, null, "", 3]) {
            assert.throws(() => page({ url }).make(), /url/);
        }
    },

    async "reconnectTimeout 0 is at once, and no busy loop: after six retries the waits grow"() {
        for (const random of [0, 0.5, 0.999]) {
            const t = await program(refusing, { reconnectTimeout: 0 });
            t.world.random = random;
            await t.world.advance(10);
            assert.ok(t.task.repeat >= 5, String(t.task.repeat));
            await t.world.advance(1000);
            assert.ok(t.task.repeat < 500, String(t.task.repeat));
            assert.strictEqual(t.task.opts.reconnectTimeout, 0);
        }
    },

    async "a page takes a URL, and hands it to WebSocket as it is"() {
        const url = new URL("wss://example.com/socket?a=b");
        const t = page({ url });
        t.make();
        await t.world.advance(1);
        assert.strictEqual(t.last.url, url);
    },

    async "functions that throw or return nonsense cost one attempt each"() {
        const answers = [
            () => {
                throw new Error("no token yet");
            },
            () => undefined,
            () => ({ url: 3 }),
            () => ({
                url() {
                    throw new Error("no url yet");
                },
            }),
            () => ({ url: "wss://example.com/" }),
        ];
        const t = await program(undefined, { connectSocketParams: () => answers.shift()() });
        await t.world.advance(10000);
        assert.strictEqual(t.host.attempts, 1);
        const texts = t.hooks.filter(([name]) => name === "Error").map(([, event]) => event.errMsg);
        assert.strictEqual(texts.length, 4);
        assert.strictEqual(texts[0], "no token yet");
        assert.match(texts[1], /connectSocketParams.url/);
    },

    async "close() answers where there is nothing to close, and leaves the answer to the host where there is"() {
        const seen = [];
        const callbacks = {
            success: (result) => seen.push(result.errMsg),
            fail: () => seen.push("fail"),
            complete: () => seen.push("complete"),
        };
        const t = await opened();
        t.host.last.lose();
        t.task.close(callbacks);
        assert.deepStrictEqual(seen.splice(0), ["close:ok", "complete"]);
        t.task.close(callbacks);
        assert.deepStrictEqual(seen.splice(0), ["close:ok", "complete"]);

        const open = await opened();
        open.task.close({ ...callbacks, code: 3001, reason: "done" });
        assert.deepStrictEqual(seen, []);
        assert.strictEqual(open.host.last.closes[0].code, 3001);
        assert.strictEqual(open.host.last.closes[0].reason, "done");
        assert.strictEqual(open.host.last.closes[0].success, callbacks.success);
    },

    async "close() calls `success` once, also of a host that closes at once, and when it is called again"() {
        const t = await opened();
        t.host.last.task.close = (given) => {
            given.success({ errMsg: "close:ok" });
            t.host.last.lose(1000);
        };
        const seen = [];
        t.task.close({ success: () => seen.push("first") });
        assert.deepStrictEqual(seen, ["first"]);

        const slow = await opened();
        slow.host.last.closing = "silent";
        slow.task.close();
        slow.task.close({ success: () => seen.push("second") });
        assert.deepStrictEqual(seen, ["first", "second"]);
        assert.strictEqual(slow.host.last.closes.length, 1);
    },

    async "close() calls `fail` where the host throws, and ends all the same"() {
        const t = await opened();
        t.host.last.closing = "throw";
        const told = [];
        t.task.close({
            success: () => told.push("success"),
            fail: (result) => told.push(result.errMsg),
            complete: () => told.push("complete"),
        });
        await t.world.advance(6000);
        assert.deepStrictEqual(told, ["close:fail", "complete"]);
        assert.strictEqual(t.task.state, "closed");
    },

    async "nothing is handed to a socket that is being closed"() {
        const failed = [];
        const t = await opened();
        t.host.last.closing = "silent";
        t.task.close();
        assert.strictEqual(t.task.send({ data: "late", fail: (result) => failed.push(result.errMsg) }), false);
        assert.deepStrictEqual(failed, ["send:fail closing"]);
        assert.deepStrictEqual(t.host.last.sent, []);

        // A WebSocket would swallow it without a word.
        const p = await openedPage();
        p.last.closing = "silent";
        p.heartbeat.close();
        assert.strictEqual(p.heartbeat.send("late"), false);
        assert.deepStrictEqual(p.last.sent, []);
    },

    async "connecting again in the hook that tells of the end keeps what is sent, and listens to the host"() {
        for (const [name, end] of [["GiveUp", "failed"], ["State", "failed"], ["State", "closed"]]) {
            const t = await opened(undefined, { repeatLimit: 0 });
            t.task["on" + name] = (event) => {
                if (name === "State" && event !== end) return;
                t.task.createWebSocket();
                t.task.send({ data: "again" });
            };
            if (end === "closed") t.task.close();
            t.host.last.lose();
            await t.world.advance(2001);
            assert.strictEqual(t.host.attempts, 2);
            for (const listeners of Object.values(t.host.listeners)) assert.strictEqual(listeners.length, 1);
            t.host.last.open();
            assert.deepStrictEqual(t.host.last.sent, ["again"]);
            t.task.destroy();
            for (const listeners of Object.values(t.host.listeners)) assert.strictEqual(listeners.length, 0);
        }
    },

    async "a hook that closes and then connects again while a link is being replaced opens one"() {
        const t = await opened();
        let calls = 0;
        t.task.onClose = () => {
            calls += 1;
            if (calls > 1) return;
            t.task.close();
            t.task.createWebSocket();
        };
        t.task.reconnect();
        await t.world.advance(2001);
        assert.strictEqual(t.host.attempts, 2);
        assert.strictEqual(t.host.live.length, 1);
        t.host.last.open();
        await t.world.settle();
        assert.strictEqual(t.task.state, "open");
        assert.strictEqual(calls, 1);
    },

    async "a hook that reconnects and then closes opens nothing"() {
        for (const end of ["close", "destroy"]) {
            const t = await program();
            t.task.onOpen = () => {
                t.task.reconnect();
                t.task[end]();
            };
            t.host.last.open();
            await t.world.advance(60000);
            assert.strictEqual(t.host.attempts, 1);
            assert.strictEqual(t.host.live.length, 0);
            assert.deepStrictEqual([t.task.state, t.count("Close")], ["closed", 1]);
        }
    },

    async "a task that is a thenable besides is taken at once"() {
        const t = await program((socket) => {
            socket.task.then = () => assert.fail("its promise is not asked");
        });
        t.host.last.open();
        assert.deepStrictEqual(t.names(), ["Open"]);
    },

    async "a thenable that resolves twice gives one socket, and what else it gives is closed"() {
        let resolve;
        const { Socket } = require("./mocks.js");
        const t = await program(() => ({ value: { then: (resolved) => (resolve = resolved) } }));
        resolve(t.host.last.task);
        t.host.last.open();
        const other = new Socket(t.host, {});
        resolve(other.task);
        resolve(t.host.last.task);
        await t.world.advance(1);
        assert.strictEqual(other.isLive, false);
        assert.strictEqual(t.host.last.isLive, true);
        assert.deepStrictEqual(t.names(), ["Open"]);
    },

    async "on a host with one socket a refused attempt closes nobody else's, but what was our own"() {
        const t = await program(undefined, {}, (world) => new SingleHost(world));
        t.host.params.fail({ error: 3, errorMessage: "already exists" });
        await t.world.advance(1);
        assert.strictEqual(t.host.closes, 0);
        assert.strictEqual(t.event("Error").errMsg, "already exists");

        await t.world.advance(2000);
        t.host.autoClose = false;
        t.host.open();
        t.task.reconnect();
        assert.strictEqual(t.host.closes, 1);
        t.host.params.fail({ error: 3, errorMessage: "already exists" });
        assert.strictEqual(t.host.closes, 2);
    },

    async "on a host with room for one socket every way to a new link leads to one that lives"() {
        const ways = {
            "an error, and the network comes back": (t) => {
                t.host.emit("Error", { error: 1, errorMessage: "net" });
                t.host.network({ isConnected: true });
            },
            "an error, and onReconnect reconnects": (t) => {
                t.task.onReconnect = () => t.task.reconnect();
                t.host.emit("Error", { error: 1, errorMessage: "net" });
            },
            "reconnect()": (t) => t.task.reconnect(),
            "closed and connected again twice": (t) => {
                for (let i = 0; i < 2; i += 1) {
                    t.task.close();
                    t.task.createWebSocket();
                }
            },
            "a silent link": (t) => t.world.advance(30000),
        };
        for (const late of [1, 20, 200]) {
            for (const [name, way] of Object.entries(ways)) {
                const t = await program(undefined, {}, (world) => {
                    const host = new SlotHost(world, late);
                    host.onNetworkStatusChange = (listener) => (host.network = listener);
                    return host;
                });
                await t.world.advance(100);
                assert.strictEqual(t.task.state, "open");
                await way(t);
                await t.world.advance(300000);
                assert.strictEqual(t.task.state, "open", name);
                assert.ok(t.host.refused < 3, name);
                assert.ok(t.count("Open") <= 3, name);
                t.task.destroy();
                await t.world.advance(1000);
                assert.strictEqual(t.host.taken, null, name);
            }
        }
    },

    async "on Alipay what is neither text nor bytes goes to the host as it is"() {
        const t = await program(undefined, {}, (world) => new SingleHost(world));
        t.task.send({ data: -1 });
        t.host.open();
        t.task.send({ data: new Uint8Array([1, 2]).buffer });
        assert.deepStrictEqual(t.host.sent[0].data, -1);
        assert.deepStrictEqual([t.host.sent[1].data, t.host.sent[1].isBuffer], ["AQI=", true]);
        t.host.emit("Close", { reason: "gone" });
        await t.world.advance(3000);
        assert.strictEqual(t.host.attempts, 2);
    },

    async "a hidden page whose retry fails goes on: browsers refuse nothing in the background"() {
        const t = await openedPage();
        t.window.document.hidden = true;
        t.window.document.emit("visibilitychange");
        t.last.lose(1012);
        await t.world.advance(2100);
        t.last.refuse();
        await t.world.advance(60000);
        assert.ok(t.sockets.length > 5, String(t.sockets.length));
    },

    async "a page that was loaded is not pinged for that, one that was kept aside is"() {
        for (const [persisted, pings] of [[false, 0], [true, 1]]) {
            const t = await openedPage();
            t.window.emit("pageshow", { persisted });
            assert.strictEqual(t.last.sent.length, pings);
        }
    },

    async "a `fail` that reconnects and sends again ends"() {
        const t = await program(refusing, { repeatLimit: 1 });
        const message = {
            data: "a",
            fail() {
                t.task.reconnect();
                t.task.send(message);
            },
        };
        t.task.send(message);
        await t.world.advance(2100);
        assert.ok(t.host.attempts >= 2);
        t.task.destroy();
    },

    async "a link that opens proves that there is a network"() {
        const t = await opened(undefined, {}, (world) => {
            const host = new TaskHost(world);
            host.onNetworkStatusChange = (listener) => (host.network = listener);
            return host;
        });
        t.host.network({ isConnected: false });
        t.task.reconnect();
        t.host.last.open();
        t.host.last.lose(1012);
        await t.world.advance(3000);
        assert.strictEqual(t.host.attempts, 3);
    },

    async "what a replaced link still says, even in the same breath, is not of the next one"() {
        const t = await opened();
        const first = t.host.last;
        t.task.onMessage = () => {
            t.task.reconnect();
            first.lose(1000, "late");
        };
        first.message("go");
        await t.world.advance(1001);
        assert.strictEqual(t.host.attempts, 2);
        assert.strictEqual(t.task.state, "connecting");
        assert.strictEqual(t.count("Reconnect"), 1);
    },

    async "hooks are functions from the beginning, so that others can be put before them"() {
        const { World } = require("./world.js");
        const host = new TaskHost(new World());
        const make = host.world.load(paths.miniprogram);
        const task = await make({ miniprogram: host, connectSocketParams: { url: "wss://example.com/" } });
        const heard = [];
        const before = task.onMessage;
        task.onMessage = (event) => {
            before(event);
            heard.push(event.data);
        };
        await host.world.advance(10);
        host.last.open();
        host.last.message("hello");
        assert.deepStrictEqual(heard, ["hello"]);
    },

    async "a hook may be null, and is then not called"() {
        const t = await opened();
        t.task.onMessage = null;
        t.host.last.message("hello");
        t.task.onMessage = (event) => t.hooks.push(["Message", event]);
        t.host.last.message("again");
        assert.deepStrictEqual(t.event("Message").data, "again");
        assert.strictEqual(t.count("Message"), 1);
        assert.deepStrictEqual(t.world.uncaught, []);
    },

    async "settings out of range are refused with the names of options"() {
        const t = await program("task", { pongTimeout: 0 });
        assert.match(t.error.message, /^pongTimeout must be a number, at least 1$/);
    },

    async "a page's close() passes its code and reason on"() {
        const t = await openedPage();
        const given = [];
        t.last.close = (...words) => given.push(words);
        t.heartbeat.close(3001, "done");
        assert.deepStrictEqual(given, [[3001, "done"]]);
    },

    async "a send that the host throws at calls `fail`, at once and from the queue"() {
        const t = await opened();
        const failed = [];
        const message = (data) => ({ data, fail: () => failed.push(data) });
        const refuse = () => {
            throw new Error("send:fail");
        };
        t.host.last.onSend = refuse;
        assert.strictEqual(t.task.send(message("a")), false);
        assert.deepStrictEqual(failed, ["a"]);
        t.host.last.lose();
        t.task.send(message("b"));
        t.task.send(message("c"));
        await t.world.advance(2100);
        t.host.last.onSend = (sent) => sent.data !== "b" || refuse();
        t.host.last.open();
        assert.deepStrictEqual(failed, ["a", "b"]);
        assert.deepStrictEqual(t.host.last.sent, ["b", "c"]);
    },

    async "a ping that did not leave in the background is sent again on return, and one that did is not"() {
        for (const leaves of [true, false]) {
            const t = await opened();
            t.host.emit("AppHide");
            t.host.last.onSend = () => {
                if (!leaves) throw new Error("send:fail interrupted");
            };
            await t.world.advance(15001);
            assert.strictEqual(t.host.last.sent.length, 1);
            t.host.last.onSend = null;
            t.host.emit("AppShow");
            assert.strictEqual(t.host.last.sent.length, leaves ? 1 : 2);
        }
    },

    async "a ping that once could not be sent is not made up for by two"() {
        let isReady = false;
        const pingMsg = () => {
            if (!isReady) throw new Error("not yet");
            return "ping";
        };
        const t = await opened(undefined, { pingMsg });
        await t.world.advance(15001);
        t.host.last.message("news");
        isReady = true;
        t.host.emit("AppHide");
        await t.world.advance(1000);
        t.host.emit("AppShow");
        assert.deepStrictEqual(t.host.last.sent, ["ping"]);
    },

    async "a task that has spoken base64 is answered in base64"() {
        const t = await opened();
        const sent = [];
        t.host.last.task.send = (message) => sent.push(message);
        t.task.send({ data: new Uint8Array([1]).buffer });
        t.host.last.emit("Message", { data: "AA==", isBuffer: true });
        t.task.send({ data: new Uint8Array([1]).buffer });
        assert.strictEqual(sent[0].data.byteLength, 1);
        assert.strictEqual(sent[1].data, "AQ==");
        assert.strictEqual(sent[1].isBuffer, true);
    },

    async "events wait for hooks that are set in a macrotask"() {
        // Like the Promise of WeChat on iOS 15 and older.
        const globals = {};
        globals.Promise = class {
            constructor(executor) {
                this.callbacks = [];
                const settle = (index) => (value) => {
                    this.settled = this.settled || [index, value];
                    this.flush();
                };
                executor(settle(0), settle(1));
            }

            flush() {
                if (!this.settled) return;
                const [index, value] = this.settled;
                for (const pair of this.callbacks.splice(0)) world.context.setTimeout(() => pair[index](value), 0);
            }

            then(resolved, rejected) {
                this.callbacks.push([resolved, rejected]);
                this.flush();
            }
        };
        let world;
        const t = await program(undefined, {}, (made) => {
            world = made;
            const { TaskHost } = require("./mocks.js");
            return new TaskHost(made, (socket) => {
                setImmediate(() => {
                    socket.open();
                    socket.message("greeting");
                });
            });
        }, globals);
        await t.world.advance(10);
        assert.deepStrictEqual(t.names(), ["Open", "Message"]);
    },

    async "a clock that is set back an hour delays one ping, by one interval at most"() {
        const t = await program();
        t.host.last.open();
        await t.world.advance(1000);
        t.world.time -= 3600000;
        for (const timer of t.world.timers) timer.at -= 3600000;
        await t.world.advance(30000);
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"]);
        t.host.last.message("pong");
        await t.world.advance(14000);
        assert.strictEqual(t.host.attempts, 1);
    },

    async "a program that was frozen without a word probes before it judges"() {
        const t = await program();
        t.host.last.open();
        await t.world.advance(14000);
        t.world.freeze(600000);
        await t.world.advance(10);
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"]);
        t.host.last.message("pong");
        await t.world.advance(10000);
        assert.strictEqual(t.host.attempts, 1);
    },

    async "a url function that closes opens nothing, in a page and on a host with a single socket"() {
        let page = null;
        const first = await openedPage({ url: () => (page && page.destroy(), "wss://example.com/") });
        page = first.heartbeat;
        page.reconnect();
        await first.world.advance(60000);
        assert.deepStrictEqual([first.sockets.length, first.live(), page.state], [1, 0, "closed"]);

        let task = null;
        const connectSocketParams = { url: () => (task && task.destroy(), "wss://example.com/") };
        const t = await program(undefined, { connectSocketParams }, (world) => new SingleHost(world));
        t.host.open();
        task = t.task;
        task.reconnect();
        await t.world.advance(60000);
        assert.deepStrictEqual([t.host.attempts, task.state], [1, "closed"]);
        assert.deepStrictEqual(Object.values(t.host.listeners).flat(), []);
    },

    async "a url function that closes and connects again, and even throws, opens one socket"() {
        for (const throws of [false, true]) {
            let again = false;
            const t = await openedPage({
                url() {
                    if (!again) return "wss://example.com/";
                    again = false;
                    t.heartbeat.close();
                    t.heartbeat.createWebSocket();
                    if (throws) throw new Error("no token");
                    return "wss://example.com/";
                },
            });
            again = true;
            t.heartbeat.reconnect();
            await t.world.advance(2100);
            assert.deepStrictEqual([t.sockets.length, t.live(), t.heartbeat.state], [2, 1, "connecting"]);
        }
    },

    async "an error or a close code that has no text is a failed attempt like others"() {
        for (const thrown of [Symbol("no"), Object.create(null), { errMsg: Object.create(null) }]) {
            let isBad = true;
            const t = await program(() => {
                if (isBad) throw thrown;
            });
            isBad = false;
            await t.world.advance(3000);
            assert.deepStrictEqual([t.host.attempts, t.task.state, t.world.uncaught.length], [2, "connecting", 0]);
            t.host.last.open();
            t.host.last.emit("Close", { code: thrown, reason: thrown });
            assert.deepStrictEqual([t.task.state, t.world.uncaught.length], ["waiting", 0]);
        }
    },

    async "a socket that closes while we listen to it keeps no listener of ours"() {
        const left = [];
        const t = await program((socket) => {
            socket.task.onClose = (listener) => {
                socket.listeners.Close.push(listener);
                socket.lose();
            };
            for (const name of ["Open", "Message", "Close", "Error"]) {
                socket.task["off" + name] = (listener) => {
                    socket.listeners[name] = socket.listeners[name].filter((each) => each !== listener);
                };
            }
            left.push(socket.listeners);
        });
        assert.strictEqual(t.task.state, "waiting");
        assert.deepStrictEqual(left.map((each) => Object.values(each).flat()), [[]]);
    },
};

run(checks, rejections);
