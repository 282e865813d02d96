// The server ends the connection for good: the options finalCloseCodes and dismissal. Arguments and output as faults.js.
"use strict";
const assert = require("assert");
const { SingleHost } = require("./mocks.js");

const paths = JSON.parse(process.argv[2]);
const { run, opened, openedPage, program } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const CODES = { finalCloseCodes: [4001, [4500, 4999]] };
const DISMISSAL = { dismissal: "bye" };
const FINAL = ["Open", "Close", "GiveUp"];

// A connection in a mini program or a page, in one shape for the tests below.
async function link(kind, options) {
    const isPage = kind === "page";
    const t = isPage ? await openedPage(options) : await opened(undefined, options);
    const task = isPage ? t.heartbeat : t.task;
    return {
        world: t.world,
        task,
        hooks: t.hooks,
        socket: () => (isPage ? t.last : t.host.last),
        attempts: () => (isPage ? t.sockets.length : t.host.attempts),
        names: () => t.hooks.map(([name]) => name.toLowerCase()).filter((name) => name !== "state"),
        event: (name) => t.hooks.filter(([each]) => each.toLowerCase() === name).map(([, event]) => event).pop(),
        set: (name, hook) => (task[isPage ? "on" + name.toLowerCase() : "on" + name] = hook),
        listeners: () =>
            Object.values(isPage ? { ...t.window.listeners, ...t.window.document.listeners } : t.host.listeners).flat().length,
    };
}

const KINDS = ["program", "page"];

// Nothing is left to happen, whatever happens outside, and nothing was done since.
async function ended(t, attempts) {
    await t.world.advance(1);
    assert.strictEqual(t.task.state, "failed");
    assert.deepStrictEqual([t.world.timers.length, t.listeners()], [0, 0]);
    await t.world.advance(3600000);
    assert.strictEqual(t.attempts(), attempts);
    assert.ok(!t.names().includes("reconnect"));
}

const checks = {
    async "a final close code is the end: onClose, onGiveUp, and no retry"() {
        for (const kind of KINDS) {
            for (const code of [4001, 4500, 4700, 4999]) {
                const t = await link(kind, CODES);
                t.socket().lose(code, "banned");
                await ended(t, 1);
                assert.deepStrictEqual(t.names(), FINAL.map((name) => name.toLowerCase()));
                assert.deepStrictEqual([t.event("close").code, t.event("close").reason], [code, "banned"]);
                assert.deepStrictEqual([t.event("giveup").code, t.event("giveup").reason], [code, "banned"]);
                assert.deepStrictEqual(t.world.warnings, []);
            }
        }
    },

    async "within onClose the state says whether it was final"() {
        for (const kind of KINDS) {
            for (const [code, state] of [[4500, "failed"], [4000, "waiting"]]) {
                const t = await link(kind, CODES);
                let seen;
                t.set("Close", () => (seen = t.task.state));
                t.socket().lose(code);
                await t.world.settle();
                assert.strictEqual(seen, state);
            }
        }
    },

    async "other codes, and a link that just breaks, are retried"() {
        for (const kind of KINDS) {
            for (const code of [1000, 1006, 1012, 4000, 4002, 4499, undefined]) {
                const t = await link(kind, CODES);
                t.socket().lose(code);
                await t.world.advance(2001);
                assert.strictEqual(t.attempts(), 2, String(code));
                assert.ok(t.names().includes("reconnect"));
            }
        }
    },

    async "without the options every close reconnects and every message is one, as with the originals"() {
        for (const kind of KINDS) {
            const t = await link(kind);
            t.socket().message("bye");
            await t.world.settle();
            assert.strictEqual(t.event("message").data, "bye");
            t.socket().lose(4500, "banned");
            await t.world.advance(2001);
            assert.strictEqual(t.attempts(), 2);
        }
    },

    async "a code that a host writes as a string counts"() {
        const t = await link("program", CODES);
        t.socket().lose("4500", "banned");
        await ended(t, 1);
    },

    async "after a dismissal any close is the end, and the message is none"() {
        for (const kind of KINDS) {
            for (const code of [4500, 1000, 1006]) {
                const t = await link(kind, DISMISSAL);
                t.socket().message("news");
                t.socket().message("bye");
                t.socket().message("more");
                await t.world.advance(10);
                assert.deepStrictEqual([t.task.state, t.names()], ["open", ["open", "message"]]);
                t.socket().lose(code);
                await ended(t, 1);
                assert.deepStrictEqual(t.names(), ["open", "message", "close", "giveup"]);
                assert.strictEqual(t.event("giveup").reason, "dismissed by the server");
                assert.strictEqual(t.event("giveup").code, code);
            }
        }
    },

    async "the server's reason is told, where the host tells it"() {
        const t = await link("program", DISMISSAL);
        t.socket().message("bye");
        t.socket().lose(4500, "logged in elsewhere");
        await ended(t, 1);
        assert.deepStrictEqual([t.event("close").reason, t.event("giveup").reason], Array(2).fill("logged in elsewhere"));
    },

    async "a server that does not close after its dismissal is closed by us after five seconds"() {
        for (const kind of KINDS) {
            const t = await link(kind, DISMISSAL);
            t.socket().message("bye");
            await t.world.advance(4999);
            assert.strictEqual(t.task.state, "open");
            await t.world.advance(10);
            assert.ok(!t.socket().isLive);
            await ended(t, 1);
            assert.deepStrictEqual(t.names(), ["open", "close", "giveup"]);
            assert.strictEqual(t.event("close").reason, "dismissed by the server");
        }
    },

    async "only the text itself dismisses"() {
        const t = await link("program", DISMISSAL);
        for (const data of ["bye ", "BYE", "", new Uint8Array([98, 121, 101]).buffer]) t.socket().message(data);
        t.socket().lose(1000);
        await t.world.advance(2001);
        assert.strictEqual(t.attempts(), 2);
        assert.strictEqual(t.names().filter((name) => name === "message").length, 4);
    },

    async "on Alipay's single socket, which tells no code"() {
        const t = await program(undefined, DISMISSAL, (world) => new SingleHost(world));
        t.host.open();
        t.host.emit("Message", { data: { data: "bye", isBuffer: false, socketTaskID: 0 } });
        t.host.state = "closed";
        t.host.emit("Close", {});
        await t.world.advance(60000);
        assert.deepStrictEqual([t.host.attempts, t.task.state, t.names()], [1, "failed", FINAL]);
        assert.strictEqual(t.event("GiveUp").reason, "dismissed by the server");
    },

    async "heartbeats of a protocol change nothing"() {
        const t = await link("program", { ...DISMISSAL, pingMsg: "ping", pong: (data) => JSON.parse(data).pong, reply: () => null });
        t.socket().message("bye");
        t.socket().lose(1000);
        await ended(t, 1);
        assert.deepStrictEqual(t.world.uncaught, []);
    },

    async "while onOpen waits for the answer to its login"() {
        for (const [data, code] of [["bye", 1000], ["no", 4500]]) {
            const t = await program(undefined, { ...DISMISSAL, ...CODES });
            t.task.onOpen = () => new Promise(() => {});
            t.task.send({ data: "waits", fail: ({ errMsg }) => t.hooks.push(["fail", errMsg]) });
            t.host.last.open();
            await t.world.settle();
            t.host.last.message(data);
            t.host.last.lose(code);
            await t.world.advance(60000);
            assert.deepStrictEqual([t.host.attempts, t.task.state, t.world.timers.length], [1, "failed", 0]);
            assert.deepStrictEqual(t.event("fail"), "send:fail failed");
        }
    },

    async "as after close() reconnect() does nothing, and createWebSocket() begins anew"() {
        for (const kind of KINDS) {
            for (const options of [CODES, DISMISSAL]) {
                const t = await link(kind, options);
                if (options === DISMISSAL) t.socket().message("bye");
                t.set("Close", () => t.task.reconnect());
                t.socket().lose(4500);
                await ended(t, 1);
                t.task.reconnect();
                await t.world.advance(60000);
                assert.deepStrictEqual([t.attempts(), t.task.forbidReconnect], [1, true]);
                t.set("Close", () => {});
                t.task.createWebSocket();
                await t.world.settle();
                t.socket().open();
                await t.world.settle();
                assert.deepStrictEqual([t.attempts(), t.task.state], [2, "open"]);
                // The next life knows nothing of it: a link that breaks is replaced.
                t.socket().message("news");
                t.socket().lose(1006);
                await t.world.advance(2001);
                assert.deepStrictEqual([t.attempts(), t.event("message").data], [3, "news"]);
                t.task.destroy();
            }
        }
    },

    async "giving up for lack of retries is another thing: reconnect() works"() {
        const t = await link("program", { ...CODES, repeatLimit: 0 });
        t.socket().lose(4000);
        await t.world.advance(1);
        assert.deepStrictEqual([t.task.state, t.world.warnings.length], ["failed", 1]);
        t.task.reconnect();
        await t.world.advance(1);
        assert.strictEqual(t.attempts(), 2);
    },

    async "a link that has taken over is not ended by the dismissal of the one before"() {
        for (const kind of KINDS) {
            const t = await link(kind, DISMISSAL);
            const old = t.socket();
            t.set("Open", () => new Promise(() => {}));
            t.task.renew();
            await t.world.settle();
            t.socket().open();
            await t.world.settle();
            old.message("bye");
            old.lose(4500);
            await t.world.advance(10000);
            assert.deepStrictEqual([t.attempts(), t.task.state], [2, "open"]);
        }
    },

    async "a dismissal on the link that a renewal opens ends that alone"() {
        const t = await link("program", DISMISSAL);
        const old = t.socket();
        t.set("Open", () => new Promise(() => {}));
        t.task.renew();
        await t.world.settle();
        t.socket().open();
        await t.world.settle();
        t.socket().message("bye");
        await t.world.advance(1);
        assert.ok(!t.socket().isLive && old.isLive);
        assert.strictEqual(t.event("error").errMsg, "renewal failed: dismissed by the server");
        assert.strictEqual(t.event("close").native, undefined);
        old.message("news");
        await t.world.settle();
        assert.deepStrictEqual([t.task.state, t.event("message").data], ["open", "news"]);
    },

    async "a renewal that waits for its turn is forgotten"() {
        const t = await link("program", CODES);
        for (let i = 0; i < 4; i += 1) {
            t.task.renew();
            await t.world.settle();
            if (i < 3) t.socket().open();
            await t.world.settle();
        }
        assert.strictEqual(t.attempts(), 4);
        t.socket().lose(4500);
        await ended(t, 4);
    },

    async "an option that is wrong is named"() {
        const wrong = [4500, "4500", {}, [null], ["4500"], [[4500]], [[1, 2, 3]], [[4500, "4999"]]];
        for (const value of wrong) {
            const t = await program(undefined, { finalCloseCodes: value });
            assert.match(t.error.message, /^finalCloseCodes must be an array of close codes and of pairs/);
        }
        for (const value of [5, {}, ["bye"]]) {
            const t = await program(undefined, { dismissal: value });
            assert.strictEqual(t.error.message, "dismissal must be a string");
        }
        const t = await program(undefined, { dismissal: "heartbeat" });
        assert.strictEqual(t.error.message, "dismissal must differ from pingMsg, which servers send back");
    },

    async "what is changed holds at once"() {
        const t = await link("program");
        t.task.opts.finalCloseCodes = [1000];
        t.socket().lose(1000);
        await ended(t, 1);
        const later = await link("program");
        later.task.opts.dismissal = "bye";
        later.socket().message("bye");
        later.socket().lose(1006);
        await ended(later, 1);
    },

    async "a retry hint in the close reason is waited for, whatever the options"() {
        for (const kind of KINDS) {
            const t = await link(kind, CODES);
            t.socket().lose(1012, "restarting; retry-after=30.5");
            await t.world.advance(30000);
            assert.strictEqual(t.attempts(), 1);
            await t.world.advance(3000);
            assert.strictEqual(t.attempts(), 2);
        }
    },
};

run(checks, rejections);
