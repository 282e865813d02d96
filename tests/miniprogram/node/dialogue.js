// A hook onOpen that takes its time, for a login say. Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { run, program, opened, page } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

// Resolves with the next message.
function nextMessage(task) {
    return new Promise((resolve) => {
        task.onMessage = ({ data }) => resolve(data);
    });
}

async function token() {
    await null;
    return "token";
}

const checks = {
    async "what waited is sent after an asynchronous login, and what the login sends goes first"() {
        const logins = {
            "sent at once": async (task) => {
                task.send({ data: "login" });
                await nextMessage(task);
            },
            "sent after something else": async (task) => {
                task.send({ data: "login " + (await token()) });
                await nextMessage(task);
            },
            "in two steps": async (task) => {
                task.send({ data: "hello" });
                await nextMessage(task);
                task.send({ data: "login" });
                await nextMessage(task);
            },
            "without async": (task) => {
                task.send({ data: "login" });
                return nextMessage(task);
            },
        };
        for (const [name, login] of Object.entries(logins)) {
            const t = await program();
            t.task.send({ data: "waits" });
            t.task.onOpen = () => login(t.task);
            t.host.last.open();
            await t.world.advance(1);
            assert.ok(t.host.last.sent.length === 1 && t.host.last.sent[0] !== "waits", name);
            while (!t.host.last.sent.includes("waits")) {
                t.host.last.message("welcome");
                await t.world.advance(1);
            }
            t.task.send({ data: "later" });
            const sent = t.host.last.sent;
            assert.deepStrictEqual(sent.slice(-2), ["waits", "later"], name);
            assert.match(sent[sent.length - 3], /login/, name);
        }
    },

    async "the same in a page, on every link"() {
        const t = page();
        t.make();
        t.heartbeat.onopen = async () => {
            t.heartbeat.send("login");
            await new Promise((resolve) => (t.heartbeat.onmessage = resolve));
        };
        for (let i = 0; i < 2; i += 1) {
            t.heartbeat.send("waits");
            await t.world.advance(2001);
            t.last.open();
            await t.world.advance(100);
            assert.deepStrictEqual(t.last.sent, ["login"]);
            t.last.message("welcome");
            await t.world.advance(1);
            assert.deepStrictEqual(t.last.sent, ["login", "waits"]);
            t.last.lose();
        }
    },

    async "a login that is rejected ends the link, is told, and is tried again with back-off"() {
        const times = [];
        const t = await program((socket) => {
            times.push(t ? t.world.time : 0);
            setImmediate(() => socket.open());
        });
        t.task.onOpen = async () => {
            t.task.send({ data: "login" });
            await null;
            throw new Error("wrong password");
        };
        t.task.send({ data: "waits" });
        t.host.last.lose();
        await t.world.advance(60000);
        assert.ok(times.length > 4 && times.length < 25, String(times.length));
        assert.strictEqual(t.host.live.length <= 1, true);
        for (const socket of t.host.sockets.slice(1)) assert.deepStrictEqual(socket.sent, ["login"]);
        assert.ok(t.host.sockets.slice(1, -1).every((socket) => socket.closes.length === 1));
        assert.strictEqual(t.event("Close").reason, "onOpen failed");
        assert.ok(t.task.repeat > 3, "a link on which nobody could log in is no success");
        assert.ok(t.world.uncaught.length > 3 && t.world.uncaught.every(({ message }) => message === "wrong password"));
    },

    async "a login that is rejected for good can close, and one may ask for a delay"() {
        const t = await program();
        t.task.onOpen = async () => {
            t.task.close();
            throw new Error("wrong password");
        };
        t.host.last.open();
        await t.world.advance(60000);
        assert.deepStrictEqual([t.host.attempts, t.task.state], [1, "closed"]);

        const slow = await program();
        slow.task.onOpen = async () => {
            throw new Error("too many logins, retry-after=30");
        };
        slow.host.last.open();
        await slow.world.advance(1);
        assert.ok(slow.event("Reconnect").delay >= 30000);
    },

    async "an exception that is thrown at once changes nothing for the link, as it always was"() {
        const t = await program();
        t.task.onOpen = () => {
            throw new Error("the user's own");
        };
        t.task.send({ data: "waits" });
        t.host.last.open();
        await t.world.advance(15001);
        assert.deepStrictEqual(t.host.last.sent, ["waits", "heartbeat"]);
    },

    async "a login whose link is lost changes nothing for the next link"() {
        for (const settle of ["resolve", "reject"]) {
            const logins = [];
            const t = await program();
            t.task.onOpen = () => new Promise((resolve, reject) => logins.push({ resolve, reject }));
            t.task.send({ data: "waits" });
            t.host.last.open();
            t.host.last.lose();
            await t.world.advance(2001);
            t.host.last.open();
            logins[0][settle](new Error("late"));
            await t.world.advance(1);
            assert.deepStrictEqual([t.host.attempts, t.task.state, t.host.last.sent], [2, "open", []]);
            logins[1].resolve();
            await t.world.advance(1);
            assert.deepStrictEqual(t.host.last.sent, ["waits"]);
        }
    },

    async "heartbeats go on during a login, and a dead link is noticed"() {
        const t = await program();
        t.task.onOpen = () => new Promise(() => {});
        t.host.last.open();
        await t.world.advance(15001);
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"]);
        await t.world.advance(12000);
        assert.strictEqual(t.host.attempts, 2);
    },

    async "a promise that stays pending is warned of after openTimeout, once for each link"() {
        const t = await program(undefined, { openTimeout: 3000 });
        t.task.onOpen = () => new Promise(() => {});
        t.host.last.open();
        await t.world.advance(2999);
        assert.deepStrictEqual(t.world.warnings, []);
        await t.world.advance(5000);
        assert.strictEqual(t.world.warnings.length, 1);
        assert.match(t.world.warnings[0], /^websocket-heartbeat: .*onOpen.*pending/);
        t.task.destroy();
        assert.strictEqual(t.world.timers.filter(({ at }) => at > t.world.time + 1).length, 0);

        const quick = await opened();
        quick.task.onOpen = async () => null;
        quick.task.reconnect();
        quick.host.last.open();
        await quick.world.advance(14000);
        assert.deepStrictEqual(quick.world.warnings, []);
    },

    async "reconnect() during a login waits as any retry does"() {
        const t = await program((socket) => void setImmediate(() => socket.open()));
        t.task.onOpen = async () => {
            await null;
            t.task.reconnect();
            await new Promise(() => {});
        };
        t.task.reconnect();
        await t.world.advance(60000);
        assert.ok(t.host.attempts > 3 && t.host.attempts < 25, String(t.host.attempts));
    },

    async "promises of other hooks are not waited for, and their rejections are not lost"() {
        const t = await opened();
        t.task.onMessage = async () => {
            throw new Error("no json");
        };
        t.host.last.message("data");
        await t.world.advance(1);
        assert.deepStrictEqual(t.world.uncaught.map(({ message }) => message), ["no json"]);
        assert.strictEqual(t.task.state, "open");
    },
};

run(checks, rejections);
