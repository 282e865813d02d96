// The 31 faults of the two originals, each as what should happen instead, played against any of the libraries.
// Arguments: a JSON object of paths: miniprogram, browser, script (for a bare worker), module (for import).
// Prints a JSON object: fault -> null, or what went wrong.
"use strict";
const assert = require("assert");
const url = require("url");
const { World } = require("./world.js");
const { TaskHost, SingleHost, NAMES } = require("./mocks.js");

const paths = JSON.parse(process.argv[2]);
const { run, program, opened, page, openedPage } = require("./program.js")(paths);
// Time enough for a heartbeat to give up (25 s) and for a retry (2 s), and for nothing else.
const DEATH = 15000 + 10000 + 2100;

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const faults = {
    async B1() {
        const world = new World();
        const made = world.load(paths.script);
        assert.ok(typeof made === "function" || typeof world.context.WebsocketHeartbeat === "function");
        assert.strictEqual(typeof world.context.window, "undefined");
    },

    async B2() {
        const t = await opened();
        t.host.last.lose();
        await t.world.advance(10);
        t.task.close();
        await t.world.advance(120000);
        assert.strictEqual(t.host.attempts, 1);
        assert.strictEqual(t.task.forbidReconnect, true);
    },

    async B3() {
        const pending = [];
        const t = await program((socket, params, attempt) =>
            attempt === 1 ? undefined : { value: new Promise((resolve) => pending.push(() => resolve(socket.task))) }
        );
        t.host.last.open();
        t.host.last.lose();
        await t.world.advance(2100);
        assert.strictEqual(pending.length, 1);
        t.task.close();
        pending[0]();
        await t.world.advance(1);
        if (t.host.last.isLive) t.host.last.open();
        await t.world.advance(60000);
        assert.strictEqual(t.host.live.length, 0, "the socket leaks");
        assert.strictEqual(t.count("Open"), 1);
    },

    async B4() {
        const t = await opened();
        const first = t.host.last;
        first.error("network");
        await t.world.advance(2100);
        assert.strictEqual(t.host.attempts, 2);
        t.host.last.open();
        first.emit("Close", { code: 1006, reason: "" });
        await t.world.advance(2100);
        assert.strictEqual(t.host.attempts, 2, "the late close of the old socket led to another attempt");
        assert.strictEqual(t.host.live.length, 1);
    },

    async B5() {
        const t = await program();
        await t.world.advance(30000);
        assert.ok(t.host.attempts >= 2, "a silent attempt hangs for ever");
        assert.ok(t.host.live.length <= 1);
    },

    async B6() {
        for (const closing of ["silent", "fail", "throw"]) {
            const t = await opened();
            t.host.last.closing = closing;
            await t.world.advance(DEATH);
            assert.strictEqual(t.host.attempts, 2, closing);
            t.host.last.open();
            await t.world.advance(15001);
            assert.deepStrictEqual(t.host.last.sent, ["heartbeat"], "the heartbeat goes on");
        }
        // One second in the background: ping and close are refused, the socket lives on.
        const t = await opened();
        t.host.emit("AppHide");
        t.host.last.onSend = () => false;
        t.host.last.closing = "fail";
        await t.world.advance(20000);
        t.host.last.onSend = null;
        t.host.last.closing = "close";
        t.host.emit("AppShow");
        t.host.last.message("pong");
        await t.world.advance(15001);
        assert.strictEqual(t.host.attempts, 1);
        assert.strictEqual(t.host.last.sent.pop(), "heartbeat");
        assert.ok(t.host.last.sent.length >= 1);
    },

    async B7() {
        const bad = {
            rejects: () => ({ value: Promise.reject({ errMsg: "connectSocket:fail" }) }),
            throws: () => {
                throw new Error("no sockets today");
            },
            nothing: () => ({ value: undefined }),
            object: () => ({ value: Promise.resolve({ errMsg: "connectSocket:fail" }) }),
        };
        for (const [name, answer] of Object.entries(bad)) {
            const first = await program((socket, params, attempt) => (attempt === 1 ? answer() : undefined));
            await first.world.advance(2100);
            assert.ok(first.task, name + ": the promise stays pending");
            assert.strictEqual(first.host.attempts, 2, name);
            first.host.last.open();
            await first.world.settle();
            assert.strictEqual(first.count("Open"), 1, name);

            const later = await program((socket, params, attempt) => (attempt === 2 ? answer() : undefined));
            later.host.last.open();
            later.host.last.lose();
            await later.world.advance(4200);
            assert.strictEqual(later.host.attempts, 3, name + ": a later attempt");
        }
        assert.deepStrictEqual(rejections, []);
    },

    async B8() {
        let hidden = false;
        const t = await opened((socket, params) => {
            if (hidden && params.fail) params.fail({ errMsg: "connectSocket:fail interrupted" });
            if (hidden) socket.state = "closed";
        });
        t.host.emit("AppHide");
        hidden = true;
        await t.world.advance(5000);
        t.host.last.lose(1006, "interrupted");
        await t.world.advance(4000);
        hidden = false;
        t.host.emit("AppShow");
        await t.world.advance(1);
        assert.strictEqual(t.host.live.length, 1);
        t.host.last.open();
        await t.world.settle();
        assert.strictEqual(t.count("Open"), 2);

        const failing = await program((socket, params, attempt) => {
            if (attempt < 3) params.fail({ errMsg: "connectSocket:fail" });
        });
        await failing.world.advance(6000);
        assert.strictEqual(failing.host.attempts, 3, "`fail` without an event is a lost attempt");
    },

    async B9() {
        function thrower() {
            throw new Error("the user's own");
        }
        for (const name of ["onClose", "onError", "onReconnect"]) {
            const t = await opened();
            t.task[name] = thrower;
            if (name === "onError") t.host.last.error();
            else t.host.last.lose();
            await t.world.advance(2100);
            assert.strictEqual(t.host.attempts, 2, name);
            t.host.last.open();
            t.host.last.lose();
            await t.world.advance(4200);
            assert.strictEqual(t.host.attempts, 3, name + ", again");
        }
        const open = await program();
        open.task.onOpen = thrower;
        open.host.last.open();
        await open.world.advance(15001);
        assert.deepStrictEqual(open.host.last.sent, ["heartbeat"]);

        const message = await opened();
        message.task.onMessage = thrower;
        for (let i = 0; i < 4; i += 1) {
            await message.world.advance(14000);
            message.host.last.message("data");
        }
        assert.strictEqual(message.host.attempts, 1);
        assert.deepStrictEqual(message.host.last.closes, []);
    },

    async B10() {
        const throwing = await opened();
        throwing.host.last.onSend = () => {
            throw new Error("send:fail");
        };
        await throwing.world.advance(DEATH);
        assert.strictEqual(throwing.host.attempts, 2, "a ping that throws ends the heartbeat");
        assert.deepStrictEqual(throwing.world.uncaught, []);

        const alive = await opened();
        alive.host.last.onSend = () => {
            throw new Error("send:fail");
        };
        await alive.world.advance(15001);
        alive.host.last.message("data");
        await alive.world.advance(20000);
        assert.strictEqual(alive.host.attempts, 1, "a ping that throws is no verdict");

        const rejecting = await opened();
        rejecting.host.last.task.send = () => Promise.reject(new Error("send:fail"));
        await rejecting.world.advance(DEATH);
        assert.strictEqual(rejecting.host.attempts, 2);
        assert.deepStrictEqual(rejections, []);
    },

    async B11() {
        const t = await opened();
        await t.world.advance(15001);
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"]);
        t.host.last.lose();
        await t.world.advance(2100);
        assert.strictEqual(t.host.attempts, 2);
        await t.world.advance(8500);
        assert.deepStrictEqual(t.host.sockets[1].closes, [], "a stale timer closed the next socket");
        assert.deepStrictEqual(t.host.sockets[1].sent, []);

        const idle = await opened();
        await idle.world.advance(12500);
        idle.host.last.lose();
        await idle.world.advance(2100);
        await idle.world.advance(8000);
        assert.deepStrictEqual(idle.host.last.sent, [], "a stale ping went to the next socket");
    },

    async B12() {
        const early = await program((socket) => {
            Promise.resolve().then(() => socket.open());
        });
        await early.world.advance(1);
        assert.strictEqual(early.count("Open"), 1, "an early open is lost");
        await early.world.advance(15001);
        assert.deepStrictEqual(early.host.last.sent, ["heartbeat"]);

        const refused = await program((socket) => {
            Promise.resolve().then(() => socket.error("refused"));
        });
        await refused.world.advance(1);
        assert.strictEqual(refused.count("Error"), 1, "an early error is lost");
    },

    async B13() {
        const t = await program(undefined, { repeatLimit: 0 });
        t.host.last.error();
        await t.world.advance(60000);
        assert.strictEqual(t.host.attempts, 1);
        const negative = await program(undefined, { repeatLimit: -1 });
        assert.match(negative.error.message, /repeatLimit/);
        const endless = await program((socket) => setImmediate(() => socket.error()) && undefined, { repeatLimit: null });
        await endless.world.advance(20000);
        assert.ok(endless.host.attempts > 5);
    },

    async B14() {
        const t = await program(
            (socket) => {
                setImmediate(() => {
                    socket.open();
                    socket.lose(1008, "no");
                });
            },
            { repeatLimit: 2 }
        );
        await t.world.advance(60000);
        assert.strictEqual(t.host.attempts, 3, "a server that accepts and drops is hammered");
    },

    async B15() {
        async function gaps(random) {
            const times = [];
            const t = await program(undefined, {}, (world) => {
                world.random = random;
                return new TaskHost(world, (socket) => {
                    times.push(world.time);
                    setImmediate(() => socket.error("down"));
                });
            });
            await t.world.advance(3600000);
            return times.slice(1).map((time, i) => time - times[i]);
        }
        const some = await gaps(0.1);
        const others = await gaps(0.9);
        assert.notStrictEqual(some[0], others[0], "all clients come back at one time");
        assert.ok(some.slice(0, 6).every((gap) => gap <= 2001), "the first six retries stay near reconnectTimeout");
        assert.ok(some[some.length - 1] > 15000, "no back-off");
        assert.ok(Math.max(...some, ...others) <= 60001);
    },

    async B16() {
        const t = await program((socket, params, attempt) => {
            if (attempt < 4) setImmediate(() => socket.error("down"));
        }, { repeatLimit: 2 });
        await t.world.advance(60000);
        assert.strictEqual(t.host.attempts, 3);
        assert.strictEqual(t.count("GiveUp"), 1);
        assert.strictEqual(t.event("GiveUp").reason, "down");
        assert.strictEqual(t.task.state, "failed");
        t.task.reconnect();
        assert.strictEqual(t.host.attempts, 4);
        t.host.last.open();
        await t.world.advance(1);
        assert.strictEqual(t.task.state, "open");
        t.task.close();
        await t.world.advance(10);
        assert.strictEqual(t.task.state, "closed");
        t.task.createWebSocket();
        assert.strictEqual(t.task.forbidReconnect, false);
        t.host.last.open();
        await t.world.advance(1);
        assert.strictEqual(t.task.state, "open");
        assert.ok(t.hooks.some(([name, state]) => name === "State" && state === "failed"));

        const policy = await opened();
        policy.task.onClose = (event) => event.code === 4401 && policy.task.close();
        policy.host.last.lose(4401, "token");
        await policy.world.advance(60000);
        assert.strictEqual(policy.host.attempts, 1, "close() within onClose ends it");
    },

    async B17() {
        const t = await program(undefined, {}, (world) => {
            const host = new SingleHost(world).bound();
            host.app = [];
            host.onSocketMessage((event) => host.app.push(event));
            return host;
        });
        assert.deepStrictEqual(t.host.registeredAtConnect, [true], "listeners come after the call");
        t.host.open();
        t.host.emit("Message", { data: "one" });
        t.host.state = "closed";
        t.host.emit("Close", { reason: "gone" });
        await t.world.advance(2100);
        t.host.open();
        t.host.emit("Message", { data: "two" });
        await t.world.settle();
        assert.strictEqual(t.host.attempts, 2);
        assert.strictEqual(t.host.offWithoutListener, 0, "everybody's listeners are removed");
        assert.strictEqual(t.host.app.length, 2);
        assert.strictEqual(t.count("Message"), 2);
        assert.strictEqual(t.host.listeners.Open.length, 1, "listeners pile up");
    },

    async B18() {
        const t = await program(undefined, {}, (world) => new SingleHost(world).bound());
        t.host.open();
        await t.world.settle();
        t.task.close();
        await t.world.advance(6000);
        const before = t.names().length;
        assert.strictEqual(t.host.listeners.Message.length, 0);
        t.host.emit("Open");
        t.host.emit("Message", { data: "for somebody else" });
        t.host.emit("Close", {});
        await t.world.settle();
        assert.strictEqual(t.names().length, before, "hooks hear another socket's events");
    },

    async B19() {
        const t = await program(undefined, {}, (world) => {
            // Alipay with multiple: the global functions exist, and a task is returned.
            const host = new TaskHost(world);
            const globals = new SingleHost(world);
            for (const name of NAMES) {
                host["onSocket" + name] = globals["onSocket" + name].bind(globals);
                host["offSocket" + name] = globals["offSocket" + name].bind(globals);
            }
            host.sendSocketMessage = () => assert.fail("sent over the global function");
            host.closeSocket = () => assert.fail("closed over the global function");
            host.globals = globals;
            return host;
        });
        t.host.last.open({ data: { socketTaskID: 7 } });
        t.host.last.emit("Message", { data: { data: "text", isBuffer: false, socketTaskID: 7 } });
        await t.world.settle();
        assert.strictEqual(t.count("Open"), 1);
        assert.strictEqual(t.event("Message").data, "text");
        await t.world.advance(15001);
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"]);
        assert.ok(NAMES.every((name) => t.host.globals.listeners[name].length === 0));
    },

    async B20() {
        const t = await program(undefined, {}, (world) => new SingleHost(world));
        t.host.open();
        await t.world.settle();
        t.task.send({ data: "hello" });
        assert.strictEqual(t.host.sent[0].data, "hello");
        t.task.socketTask.send({ data: "again" });
        assert.strictEqual(t.host.sent[1].data, "again");
    },

    async B21() {
        const bytes = new Uint8Array([0, 1, 2, 253, 254, 255, 7]);
        const base64 = Buffer.from(bytes).toString("base64");
        const single = await program(undefined, {}, (world) => new SingleHost(world));
        single.host.open();
        const native = { data: base64, isBuffer: true };
        single.host.emit("Message", native);
        await single.world.settle();
        const event = single.event("Message");
        assert.deepStrictEqual(new Uint8Array(event.data), bytes);
        assert.strictEqual(event.native, native);
        assert.deepStrictEqual(native, { data: base64, isBuffer: true });
        for (let length = 0; length < 5; length += 1) {
            single.task.send({ data: bytes.slice(0, length).buffer });
            const sent = single.host.sent.pop();
            assert.strictEqual(sent.isBuffer, true);
            assert.strictEqual(sent.data, Buffer.from(bytes.slice(0, length)).toString("base64"));
        }
        single.host.emit("Error", { error: 5, errorMessage: "no network" });
        await single.world.settle();
        assert.strictEqual(single.event("Error").errMsg, "no network");
        assert.strictEqual(single.event("Close").code, undefined);

        const multiple = await opened();
        multiple.host.last.emit("Message", { data: { data: base64, isBuffer: true, socketTaskID: 1 } });
        await multiple.world.settle();
        assert.deepStrictEqual(new Uint8Array(multiple.event("Message").data), bytes);

        const douyin = await opened();
        douyin.host.last.emit("Close", { code: "4401", reason: "token", errMsg: "onClose:ok" });
        await douyin.world.settle();
        assert.strictEqual(douyin.event("Close").code, 4401);
        assert.strictEqual(douyin.event("Close").reason, "token");

        // Taro h5 gives events of the DOM, whose members are inherited.
        const taro = await opened();
        const blob = { size: 3 };
        const dom = Object.create({ get data() { return blob; } });
        taro.host.last.emit("Message", dom);
        await taro.world.settle();
        assert.strictEqual(taro.event("Message").data, blob);
        assert.strictEqual(taro.event("Message").native, dom);
    },

    async B22() {
        const t = await program(undefined, { sendQueue: 2 });
        const failed = [];
        const message = (data) => ({ data, fail: (result) => failed.push([data, result.errMsg]) });
        assert.strictEqual(t.task.send(message("a")), true);
        t.task.onOpen = () => t.task.send({ data: "hello" });
        t.host.last.open();
        await t.world.settle();
        assert.deepStrictEqual(t.host.last.sent, ["hello", "a"]);
        t.host.last.lose();
        assert.deepStrictEqual(["b", "c", "d"].map((data) => t.task.send(message(data))), [true, true, false]);
        assert.deepStrictEqual(failed.map(([data]) => data), ["d"]);
        await t.world.advance(2100);
        t.host.last.open();
        await t.world.settle();
        assert.deepStrictEqual(t.host.last.sent, ["hello", "b", "c"]);
        t.host.last.lose();
        t.task.send(message("e"));
        t.task.close();
        await t.world.settle();
        assert.deepStrictEqual(failed.map(([data]) => data), ["d", "e"]);
        assert.strictEqual(t.task.send(message("f")), false);
    },

    async B23() {
        const t = await opened();
        t.task.reconnect();
        await t.world.advance(3000);
        assert.strictEqual(t.host.attempts, 2);
        t.host.last.open();
        await t.world.advance(1000);
        assert.strictEqual(t.host.live.length, 1, "a second socket leaks");
    },

    async B24() {
        let count = 0;
        let token = 0;
        const t = await opened(undefined, {
            pingMsg: () => "ping " + ++count,
            connectSocketParams: () => ({ url: () => "wss://example.com/?" + ++token, header: { token } }),
        });
        await t.world.advance(15001);
        assert.deepStrictEqual(t.host.last.sent, ["ping 1"]);
        t.host.last.lose();
        await t.world.advance(2100);
        assert.deepStrictEqual(t.host.sockets.map((socket) => socket.params.url), ["wss://example.com/?1", "wss://example.com/?2"]);
        assert.strictEqual(t.host.last.params.header.token, 1);
    },

    async B25() {
        const module = await import(url.pathToFileURL(paths.module));
        assert.strictEqual(typeof module.default, "function");
    },

    async J1() {
        let address = "not a url";
        const t = page({ url: "not a url" });
        assert.doesNotThrow(t.make);
        await t.world.advance(5000);
        assert.ok(t.hooks.some(([name]) => name === "error"), "the user is not told");
        assert.deepStrictEqual(t.world.uncaught, []);

        const recovering = page({ url: () => address });
        recovering.make();
        await recovering.world.advance(100);
        address = "wss://example.com/";
        await recovering.world.advance(3000);
        assert.strictEqual(recovering.sockets.length, 1);
    },

    async J2() {
        const t = await openedPage();
        t.last.lose();
        await t.world.advance(10);
        t.heartbeat.close();
        await t.world.advance(120000);
        assert.strictEqual(t.sockets.length, 1);
    },

    async J3() {
        const t = await openedPage();
        await t.world.advance(12500);
        t.last.lose();
        await t.world.advance(2100);
        assert.strictEqual(t.sockets.length, 2);
        await t.world.advance(8000);
        assert.deepStrictEqual(t.world.uncaught, []);
        assert.deepStrictEqual(t.last.sent, []);
    },

    async J4() {
        const t = await openedPage();
        t.last.closing = "silent";
        await t.world.advance(DEATH);
        assert.strictEqual(t.sockets.length, 2);
        t.last.open();
        await t.world.settle();
        assert.strictEqual(t.live(), 1);
        const [, event] = t.hooks.find(([name]) => name === "close");
        assert.strictEqual(event.reason, "heartbeat timeout");
    },

    async J5() {
        const t = await openedPage({
            pingMsg() {
                throw new Error("the user's own");
            },
        });
        await t.world.advance(DEATH);
        assert.strictEqual(t.sockets.length, 2);
        assert.deepStrictEqual(t.world.uncaught, []);
    },

    async J6() {
        const t = page({ repeatLimit: 0 });
        t.make();
        await t.world.advance(1);
        t.last.refuse();
        await t.world.advance(60000);
        assert.strictEqual(t.sockets.length, 1);
    },
};

run(faults, rejections);
