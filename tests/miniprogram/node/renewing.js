// renew(): the next link opens before the one that it replaces is closed. Arguments and output as faults.js.
"use strict";
const assert = require("assert");
const { SingleHost } = require("./mocks.js");

const paths = JSON.parse(process.argv[2]);
const { run, program, opened, openedPage } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const data = (t) => t.hooks.filter(([name]) => name === "Message").map(([, event]) => event.data);

// A program whose renewal is under way.
async function renewing(options) {
    const t = await opened(undefined, options);
    t.hooks.length = 0;
    t.task.renew();
    await t.world.settle();
    [t.old, t.next] = t.host.sockets;
    return t;
}

// The old link goes on alone, and one error and one warning tell of that.
async function assertFailed(t, errMsg, name) {
    assert.deepStrictEqual([t.count("Error"), t.event("Error").errMsg], [1, errMsg], name);
    assert.strictEqual(t.world.warnings.filter((text) => /renewal has failed/.test(text)).length, 1, name);
    assert.deepStrictEqual(t.host.live, [t.old], name);
    assert.deepStrictEqual([t.task.state, t.task.repeat, t.task.socketTask], ["open", 0, t.old.task], name);
    t.task.send("on");
    t.old.message("news");
    assert.deepStrictEqual([t.old.sent.pop(), data(t).pop()], ["on", "news"], name);
    t.old.lose();
    await t.world.advance(2001);
    t.host.last.open();
    const now = [t.host.attempts, t.task.state, t.task.socketTask];
    assert.deepStrictEqual(now, [3, "open", t.host.last.task], name + ": a loss is followed by an ordinary retry");
}

const checks = {
    async "the next link opens first, then takes over, then the old one is closed"() {
        const t = await renewing();
        t.old.message("1");
        t.task.send("to the old one");
        assert.deepStrictEqual([t.host.attempts, t.host.live.length, t.old.closes.length], [2, 2, 0]);
        assert.strictEqual(t.task.socketTask, t.old.task);
        t.next.open();
        assert.deepStrictEqual([t.host.live, t.old.closes.length], [[t.next], 1]);
        t.old.message("late");
        t.next.message("2");
        t.task.send("to the new one");
        await t.world.advance(1);
        assert.deepStrictEqual(t.hooks.map(([name]) => name), ["Message", "Open", "Close", "Message"]);
        assert.deepStrictEqual(data(t), ["1", "2"]);
        assert.deepStrictEqual([t.old.sent, t.next.sent], [["to the old one"], ["to the new one"]]);
        assert.deepStrictEqual([t.event("Close").code, t.event("Close").reason], [1000, "renewed"]);
        assert.deepStrictEqual([t.task.state, t.task.repeat, t.task.socketTask], ["open", 0, t.next.task]);
        assert.deepStrictEqual(t.world.warnings, []);
    },

    async "the same in a page, with its binaryType"() {
        const t = await openedPage();
        const [old] = t.sockets;
        old.binaryType = "arraybuffer";
        t.hooks.length = 0;
        t.heartbeat.renew();
        old.message("1");
        const next = t.last;
        assert.deepStrictEqual([t.live(), t.heartbeat.ws], [2, old]);
        next.open();
        await t.world.advance(1);
        next.message("2");
        t.heartbeat.send("hello");
        assert.deepStrictEqual(t.hooks.map(([name]) => name), ["message", "open", "close", "message"]);
        const closed = t.hooks[2][1];
        assert.deepStrictEqual([closed.code, closed.reason, closed.wasClean], [1000, "renewed", true]);
        assert.deepStrictEqual([t.heartbeat.ws, next.binaryType, next.sent], [next, "arraybuffer", ["hello"]]);
        assert.deepStrictEqual([t.live(), t.heartbeat.state], [1, "open"]);
    },

    async "what onOpen sends goes to the new link, also if it returns no promise"() {
        const t = await renewing();
        t.task.onOpen = () => void t.task.send("login");
        t.next.open();
        assert.deepStrictEqual([t.old.sent, t.next.sent], [[], ["login"]]);
    },

    async "a promise of onOpen holds the take-over, and hears the new link alone; nothing of the old one is lost"() {
        const t = await renewing();
        t.old.message("1");
        const answers = [];
        t.task.onOpen = async () => {
            t.task.send("login");
            const { onMessage } = t.task;
            answers.push((await new Promise((resolve) => (t.task.onMessage = resolve))).data);
            t.task.onMessage = onMessage;
        };
        t.next.open();
        t.old.message("2");
        await t.world.advance(1);
        t.old.message("3");
        assert.deepStrictEqual([t.host.live.length, t.next.sent, t.old.sent], [2, ["login"], []]);
        t.next.message("welcome");
        await t.world.advance(1);
        assert.deepStrictEqual(answers, ["welcome"]);
        t.next.message("4");
        assert.deepStrictEqual(data(t), ["1", "2", "3", "4"]);
        const names = t.hooks.map(([name]) => name);
        assert.deepStrictEqual(names, ["Message", "Message", "Message", "Close", "Message"]);
        assert.deepStrictEqual(t.host.live, [t.next]);
    },

    async "a renewal that fails is told once, and leaves the old link as it was"() {
        const refused = await renewing();
        refused.next.error("refused");
        await refused.world.advance(1);
        assert.strictEqual(refused.count("Close"), 0);
        await assertFailed(refused, "renewal failed: refused", "refused");

        const closed = await renewing();
        closed.next.lose(1006, "gone");
        await assertFailed(closed, "renewal failed: gone", "closed before it is open");

        const silent = await renewing({ openTimeout: 3000 });
        await silent.world.advance(3001);
        await assertFailed(silent, "renewal failed: open timeout", "silent");

        const rejected = await renewing();
        rejected.task.onOpen = async () => {
            throw new Error("wrong password");
        };
        rejected.next.open();
        rejected.old.message("news");
        await rejected.world.advance(1);
        assert.deepStrictEqual(rejected.world.uncaught.map(({ message }) => message), ["wrong password"]);
        assert.deepStrictEqual([rejected.next.closes.length, data(rejected)], [1, ["news"]]);
        assert.deepStrictEqual([rejected.count("Close"), rejected.event("Close").reason], [1, "onOpen failed"]);
        await assertFailed(rejected, "renewal failed: onOpen failed", "rejected");

        const pending = await renewing({ openTimeout: 3000 });
        pending.task.onOpen = () => new Promise(() => {});
        pending.next.open();
        pending.old.message("news");
        await pending.world.advance(3001);
        assert.deepStrictEqual([pending.next.closes.length, data(pending)], [1, ["news"]]);
        await assertFailed(pending, "renewal failed: open timeout", "onOpen is pending");

        const lost = await renewing();
        lost.task.onOpen = () => new Promise(() => {});
        lost.next.open();
        lost.next.lose(1012, "restart");
        assert.deepStrictEqual([lost.count("Close"), lost.event("Close").code], [1, 1012]);
        await assertFailed(lost, "renewal failed: restart", "lost while onOpen is pending");
    },

    async "a page is told of a renewal that fails once, too"() {
        const t = await openedPage();
        t.hooks.length = 0;
        t.heartbeat.renew();
        t.last.refuse();
        await t.world.advance(1);
        assert.deepStrictEqual(t.hooks.map(([name]) => name), ["error"]);
        assert.deepStrictEqual([t.live(), t.heartbeat.state, t.heartbeat.ws], [1, "open", t.sockets[0]]);
    },

    async "where the host has a single socket, the link is replaced as reconnect() does it"() {
        const t = await program(undefined, {}, (world) => new SingleHost(world).bound());
        t.host.open();
        t.task.renew();
        await t.world.advance(1);
        assert.deepStrictEqual([t.host.attempts, t.host.closes], [2, 1]);
        t.host.open();
        await t.world.advance(1);
        assert.deepStrictEqual(t.names(), ["Open", "Close", "Reconnect", "Open"]);
    },

    async "nothing happens without a link that is ready, during another renewal, and after the end"() {
        const t = await program();
        t.task.renew();
        t.task.onOpen = () => t.task.renew();
        t.host.last.open();
        await t.world.settle();
        assert.strictEqual(t.host.attempts, 1);
        t.task.onOpen = null;
        t.task.renew();
        t.task.renew();
        assert.strictEqual(t.host.attempts, 2);
        t.host.last.error();
        t.host.sockets[0].lose();
        t.task.renew();
        assert.strictEqual(t.host.attempts, 2);
        t.task.close();
        t.task.renew();
        await t.world.advance(60000);
        assert.strictEqual(t.host.attempts, 2);
    },

    async "an old link that is lost meanwhile leaves the successor as the next attempt"() {
        const connecting = await renewing();
        connecting.old.lose();
        connecting.task.send("waits");
        await connecting.world.advance(5000);
        assert.strictEqual(connecting.host.attempts, 2);
        connecting.next.open();
        assert.deepStrictEqual(connecting.next.sent, ["waits"]);
        assert.deepStrictEqual(connecting.names(), ["Close", "Reconnect", "Open"]);
        assert.strictEqual(connecting.task.socketTask, connecting.next.task);

        const talking = await renewing();
        let login;
        talking.task.onOpen = () => new Promise((resolve) => (login = resolve));
        talking.next.open();
        talking.old.message("last words");
        talking.old.lose(1001, "");
        assert.deepStrictEqual([talking.task.state, talking.names()], ["open", []]);
        login();
        await talking.world.advance(1);
        talking.task.send("hello");
        assert.deepStrictEqual(talking.names(), ["Message", "Close"]);
        assert.deepStrictEqual([talking.event("Close").code, talking.next.sent], [1001, ["hello"]]);
        await talking.world.advance(15001);
        assert.deepStrictEqual([talking.next.sent, talking.host.attempts], [["hello", "heartbeat"], 2]);
    },

    async "close() and destroy() end both links, and nothing is left"() {
        for (const method of ["close", "destroy"]) {
            for (const isOpen of [false, true]) {
                const t = await renewing();
                t.task.onOpen = () => new Promise(() => {});
                if (isOpen) t.next.open();
                t.task[method]();
                await t.world.advance(60000);
                const about = [method, isOpen];
                assert.deepStrictEqual([t.host.live, t.host.attempts, t.task.state], [[], 2, "closed"], about);
                assert.strictEqual(t.count("Close"), isOpen ? 2 : 1, about);
                assert.deepStrictEqual([t.count("Error"), t.world.warnings, t.world.timers], [0, [], []], about);
            }
        }
    },

    async "a renewal that waits for its turn is forgotten when the connection ends"() {
        const t = await opened();
        for (let i = 0; i < 3; i += 1) {
            t.task.renew();
            t.host.last.open();
        }
        t.task.renew();
        assert.strictEqual(t.host.attempts, 4);
        t.task.destroy();
        assert.deepStrictEqual(t.world.timers, []);
    },

    async "what a login sends on the new link is nothing sent on the old one"() {
        const t = await renewing({ openTimeout: 60000, bothDirections: true });
        t.task.onOpen = () => new Promise(() => {});
        t.next.open();
        await t.world.advance(10000);
        t.old.message("news");
        t.task.send("login");
        await t.world.advance(5001);
        assert.deepStrictEqual([t.old.sent, t.next.sent], [["heartbeat"], ["login"]]);
    },

    async "each link has its heartbeats"() {
        const t = await renewing({ openTimeout: 60000 });
        await t.world.advance(15001);
        t.old.message("pong");
        assert.deepStrictEqual([t.old.sent, t.next.sent], [["heartbeat"], []]);
        t.next.open();
        for (let count = 1; count < 4; count += 1) {
            await t.world.advance(15001);
            t.next.message("pong");
            assert.deepStrictEqual([t.old.sent.length, t.next.sent.length, t.host.attempts], [1, count, 2]);
        }
        t.task.renew();
        t.host.last.open();
        await t.world.advance(30001);
        assert.strictEqual(t.host.attempts, 4, "a new link that is silent is replaced");
    },

    async "the heartbeats of a server are answered on the link that they came by"() {
        const t = await renewing({ pingMsg: "ping", pong: "pong" });
        t.task.onOpen = () => new Promise(() => {});
        t.next.open();
        t.old.message("ping");
        assert.deepStrictEqual([t.old.sent, t.next.sent], [["pong"], []]);
        t.next.message("ping");
        assert.deepStrictEqual([t.old.sent, t.next.sent], [["pong"], ["pong"]]);
        assert.deepStrictEqual(data(t), []);
        await t.world.advance(10001);
        assert.deepStrictEqual(t.host.live, [t.old]);
    },

    async "a renewal in every hook does not hammer the server"() {
        for (const hook of ["onOpen", "onClose", "onError", "onMessage"]) {
            const t = await opened((socket, params, attempt) => {
                if (attempt > 1 && hook === "onError") setImmediate(() => socket.error("refused"));
                else if (attempt > 1) setImmediate(() => socket.open());
            });
            t.task[hook] = () => setImmediate(() => t.task.renew());
            t.task.renew();
            for (let past = 0; past < 20000; past += 100) {
                t.host.live[0].message("data");
                await t.world.advance(100);
            }
            assert.ok(t.host.attempts > 5 && t.host.attempts < 15, `${hook}: ${t.host.attempts}`);
            assert.ok(t.host.live.length <= 2, hook);
        }
    },

    async "what users have put in place of our methods is called for the new link, which it finds as its socket"() {
        const t = await opened();
        const seen = [];
        for (const name of ["createWebSocket", "registerHeartBeatEvent"]) {
            const before = t.task[name].bind(t.task);
            t.task[name] = () => {
                before();
                seen.push([name, t.task.socketTask]);
            };
        }
        t.task.renew();
        const [old, next] = t.host.sockets;
        assert.deepStrictEqual(seen, [["registerHeartBeatEvent", next.task], ["createWebSocket", old.task]]);
        next.open();
        assert.strictEqual(t.task.socketTask, next.task);
        assert.deepStrictEqual(t.host.live, [next]);
    },

    async "an attempt that users begin later is that of the renewal, or the next one"() {
        const t = await opened();
        const create = t.task.createWebSocket.bind(t.task);
        t.task.createWebSocket = () => void t.world.context.setTimeout(create, 1000);
        t.task.renew();
        t.host.sockets[0].lose();
        assert.strictEqual(t.task.socketTask, t.host.sockets[0].task);
        await t.world.advance(1001);
        assert.deepStrictEqual([t.host.attempts, t.task.state], [2, "connecting"]);
        assert.strictEqual(t.task.socketTask, t.host.last.task);
        t.host.last.open();
        t.task.send("hello");
        assert.deepStrictEqual(t.host.last.sent, ["hello"]);
    },

    async "what waits while the network is doubted goes to the link that takes over"() {
        const t = await renewing();
        t.host.emit("NetworkStatusChange", { isConnected: false });
        t.task.send("waits");
        t.host.emit("NetworkStatusChange", { isConnected: true });
        t.next.open();
        t.task.send("goes");
        assert.deepStrictEqual(t.next.sent, ["waits", "goes"]);
        assert.ok(!t.old.sent.includes("waits"));
    },

    async "what the new link brings during its login says nothing about the old one"() {
        const t = await renewing({ openTimeout: 60000, pong: "pong" });
        let reject;
        t.task.onOpen = () => new Promise((_, fail) => (reject = fail));
        t.next.open();
        await t.world.advance(15001);
        assert.deepStrictEqual([t.old.sent, t.task.state], [["heartbeat"], "probing"], "its heartbeats go on");
        t.host.emit("NetworkStatusChange", { isConnected: false });
        t.host.emit("NetworkStatusChange", { isConnected: true });
        t.next.message("hello");
        reject(new Error("wrong password"));
        await t.world.advance(1);
        t.task.send("waits");
        assert.deepStrictEqual([t.task.state, t.old.sent], ["probing", ["heartbeat"]], "it is doubted as before");
        await t.world.advance(10000);
        assert.ok(t.world.warnings.some((text) => /no heartbeat was answered/.test(text)));
    },
};

run(checks, rejections);
