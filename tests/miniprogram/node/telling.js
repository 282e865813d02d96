// What a developer is told without a hook: by exceptions, on the console and by error monitors.
// Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { run, program, opened, page, openedPage } = require("./program.js")(paths);
const { World } = require("./world.js");

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const refuse = (socket) => setImmediate(() => socket.error("refused, token=secret"));

const checks = {
    async "where there is no WebSocket the constructor says so"() {
        for (const globals of [{}, { self: {} }, { self: { WebSocket: null } }]) {
            const Make = new World().load(paths.browser, globals);
            assert.throws(() => new Make({ url: "wss://example.com/" }), /no WebSocket here.*mini program/);
            assert.throws(() => new Make({}), /url must be/);
        }
    },

    async "a heartbeat that nobody has ever answered is warned of once, with what the back end must do"() {
        const t = await opened((socket) => void setImmediate(() => socket.open()));
        await t.world.advance(26002);
        assert.strictEqual(t.world.warnings.length, 1);
        assert.match(t.world.warnings[0], /^websocket-heartbeat: no heartbeat was answered.*pongTimeout.*back end must answer.*pingMsg/);
        await t.world.advance(600000);
        assert.strictEqual(t.world.warnings.length, 1);

        const q = await openedPage();
        await q.world.advance(26002);
        assert.strictEqual(q.world.warnings.length, 1);
    },

    async "where heartbeats were answered before, a dead link is no reason for a warning"() {
        const t = await opened();
        await t.world.advance(15001);
        t.host.last.message("pong");
        await t.world.advance(27000);
        assert.strictEqual(t.host.attempts, 2);
        assert.deepStrictEqual(t.world.warnings, []);
        // Whatever else comes is no answer.
        const busy = await opened();
        busy.host.last.message("news");
        await busy.world.advance(27000);
        assert.strictEqual(busy.world.warnings.length, 1);
    },

    async "attempts that are refused are warned of once for each outage, without a stranger's words"() {
        const t = await program((socket, params, attempt) => {
            if (attempt !== 4) refuse(socket);
        });
        await t.world.advance(6000);
        assert.strictEqual(t.world.warnings.length, 1);
        assert.match(t.world.warnings[0], /^websocket-heartbeat: an attempt to connect has failed/);
        t.host.sockets[3].open();
        t.host.sockets[3].lose(1006, "token=secret");
        await t.world.advance(60000);
        assert.strictEqual(t.world.warnings.length, 2);
        assert.ok(!t.world.warnings.join().includes("secret"));

        const q = page({ url: "wss://example.com/ ?token=secret" });
        q.make();
        await q.world.advance(60000);
        assert.strictEqual(q.world.warnings.length, 1);
        assert.ok(!q.world.warnings.join().includes("secret"));
    },

    async "attempts that a host refuses in the background are no reason for a warning"() {
        let hidden = false;
        const t = await opened((socket, params) => {
            if (hidden) params.fail({ errMsg: "connectSocket:fail interrupted" });
        });
        t.host.emit("AppHide");
        hidden = true;
        t.host.last.lose(1006, "interrupted");
        await t.world.advance(30000);
        assert.deepStrictEqual([t.host.attempts, t.world.warnings], [2, []]);
    },

    async "giving up is warned of, each time"() {
        const t = await program(refuse, { repeatLimit: 1 });
        await t.world.advance(60000);
        assert.strictEqual(t.world.warnings.length, 2);
        assert.match(t.world.warnings[1], /^websocket-heartbeat: gave up.*repeatLimit/);
        t.task.reconnect();
        await t.world.advance(60000);
        assert.strictEqual(t.world.warnings.filter((text) => /gave up/.test(text)).length, 2);
    },

    async "where nothing is retried, no warning says that it is"() {
        const t = await program(refuse, { repeatLimit: 0 });
        await t.world.advance(60000);
        assert.strictEqual(t.host.attempts, 1);
        assert.deepStrictEqual(
            t.world.warnings.map((text) => /repeated|again/.test(text)), [false, false], t.world.warnings.join("; "),
        );
    },

    async "a connection that works prints nothing"() {
        const t = await opened();
        for (let i = 0; i < 20; i += 1) {
            await t.world.advance(15001);
            t.host.last.message("pong");
            t.task.send({ data: "data" });
        }
        t.host.last.lose(1012);
        await t.world.advance(2001);
        t.host.last.open();
        t.task.close();
        await t.world.advance(6000);
        assert.deepStrictEqual([t.world.warnings, t.world.reported, t.world.uncaught], [[], [], []]);
    },

    async "what a hook throws or rejects with is thrown again, where error monitors see it"() {
        const ways = { throws: () => { throw new Error("the user's own"); }, rejects: () => Promise.reject(new Error("the user's own")) };
        for (const [way, fail] of Object.entries(ways)) {
            const t = await opened();
            t.task.onMessage = fail;
            t.task.onClose = fail;
            t.task.onReconnect = fail;
            t.task.onState = fail;
            t.host.last.message("news");
            t.host.last.lose();
            await t.world.advance(1);
            const own = t.world.uncaught.filter(({ message }) => message === "the user's own");
            assert.ok(own.length >= 4, `${way}: ${own.length}`);
            await t.world.advance(2001);
            assert.strictEqual(t.host.attempts, 2, way);

            const q = await openedPage();
            q.heartbeat.onmessage = fail;
            q.last.message("news");
            await q.world.advance(1);
            assert.deepStrictEqual(q.world.uncaught.map(({ message }) => message), ["the user's own"], way);
            assert.strictEqual(q.heartbeat.state, "open");
        }
        assert.deepStrictEqual(rejections, []);
    },

    async "where there is no console nothing breaks"() {
        for (const console of [undefined, {}]) {
            const t = await program(refuse, { repeatLimit: 0, pingMsg: () => { throw new Error("no"); } }, null, { console });
            t.world.context.console = console;
            await t.world.advance(60000);
            assert.strictEqual(t.task.state, "failed");
        }
    },
};

run(checks, rejections);
