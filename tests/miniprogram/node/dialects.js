// Heartbeats that a protocol has among its messages: the options pong and reply. Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { run, opened, openedPage, program } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const TEXTS = { pingMsg: "ping", pong: "pong" };

const messages = (t) => t.hooks.filter(([name]) => /message/i.test(name)).map(([, event]) => event.data);

const checks = {
    async "an answer is proof of life and no message"() {
        const t = await opened(undefined, TEXTS);
        for (let i = 0; i < 5; i += 1) {
            await t.world.advance(15001);
            assert.strictEqual(t.task.state, "probing");
            t.host.last.message("pong");
            assert.strictEqual(t.task.state, "open");
        }
        t.host.last.message("news");
        await t.world.settle();
        assert.deepStrictEqual([t.host.attempts, t.host.last.sent, messages(t)], [1, Array(5).fill("ping"), ["news"]]);
        await t.world.advance(26000);
        assert.strictEqual(t.count("Close"), 1, "what is not answered is given up");
    },

    async "the same in a page"() {
        const t = await openedPage(TEXTS);
        for (let i = 0; i < 5; i += 1) {
            await t.world.advance(15001);
            t.last.message("pong");
            t.last.message("ping");
        }
        t.last.message("news");
        await t.world.settle();
        assert.deepStrictEqual(t.last.sent, Array(5).fill(["ping", "pong"]).flat());
        assert.deepStrictEqual(messages(t), ["news"]);
        assert.strictEqual(t.sockets.length, 1);
    },

    async "the server's own heartbeat is answered at once, also while onOpen and onMessage wait"() {
        const t = await program(undefined, TEXTS);
        t.task.onOpen = () => new Promise(() => {});
        t.task.onMessage = () => new Promise(() => {});
        t.task.send({ data: "waits" });
        t.host.last.open();
        for (let i = 1; i < 4; i += 1) {
            t.host.last.message("work");
            t.host.last.message("ping");
            assert.deepStrictEqual(t.host.last.sent, Array(i).fill("pong"));
            await t.world.advance(1000);
        }
    },

    async "no heartbeat is sent before onOpen is done"() {
        for (const kind of ["program", "page"]) {
            const t = kind === "program" ? await program(undefined, TEXTS) : await openedPage(TEXTS);
            const link = () => (kind === "program" ? t.host.last : t.last);
            let done;
            const login = () => new Promise((resolve) => (done = resolve));
            if (kind === "program") {
                t.task.onOpen = login;
            } else {
                t.heartbeat.onopen = login;
                link().lose();
                await t.world.advance(2001);
            }
            link().open();
            await t.world.advance(60000);
            assert.deepStrictEqual(link().sent, [], kind);
            done();
            await t.world.advance(16000);
            assert.deepStrictEqual(link().sent, ["ping"], kind);
        }
    },

    async "functions know heartbeats with numbers, and answer them"() {
        let number = 0;
        const t = await opened(undefined, {
            pingMsg: () => JSON.stringify({ op: "ping", id: (number += 1) }),
            pong: (data) => JSON.parse(data).op === "pong",
            reply: (data) => (JSON.parse(data).op === "ping" ? JSON.stringify({ op: "pong", id: JSON.parse(data).id }) : null),
        });
        await t.world.advance(15001);
        t.host.last.message('{"op":"pong","id":1}');
        t.host.last.message('{"op":"ping","id":77}');
        t.host.last.message('{"op":"news"}');
        await t.world.settle();
        assert.deepStrictEqual(t.host.last.sent, ['{"op":"ping","id":1}', '{"op":"pong","id":77}']);
        assert.deepStrictEqual(messages(t), ['{"op":"news"}']);
    },

    async "bytes go to the functions, and may be an answer"() {
        const t = await opened(undefined, {
            pingMsg: () => new Uint8Array([9]).buffer,
            pong: (data) => typeof data !== "string" && new Uint8Array(data)[0] === 10,
            reply: (data) => (typeof data !== "string" && new Uint8Array(data)[0] === 9 ? new Uint8Array([10]).buffer : undefined),
        });
        t.host.last.message(new Uint8Array([9]).buffer);
        t.host.last.message(new Uint8Array([10]).buffer);
        t.host.last.message("text");
        await t.world.settle();
        assert.deepStrictEqual(t.host.last.sent.map((data) => new Uint8Array(data)[0]), [10]);
        assert.deepStrictEqual(messages(t), ["text"]);
    },

    async "what a function throws is shown once, and the message is delivered"() {
        const wrong = [
            { pong: (data) => JSON.parse(data).op === "pong" },
            { pong: async () => true },
            { pong: "pong", reply: (data) => JSON.parse(data) },
            { pong: "pong", reply: () => 5 },
        ];
        for (const options of wrong) {
            const t = await opened(undefined, options);
            t.host.last.message("no json");
            await t.world.advance(1);
            assert.strictEqual(t.world.uncaught.length, 1);
            assert.deepStrictEqual([messages(t), t.host.last.sent, t.task.state], [["no json"], [], "open"]);
        }
    },

    async "what is answered by itself is an answer"() {
        const t = await opened(undefined, { pong: "heartbeat" });
        await t.world.advance(15001);
        t.host.last.message("heartbeat");
        await t.world.settle();
        assert.deepStrictEqual([t.host.last.sent, messages(t), t.task.state], [["heartbeat"], [], "open"]);
    },

    async "answers to the server count as sent, where both directions count"() {
        const t = await opened(undefined, { ...TEXTS, bothDirections: true });
        for (let i = 0; i < 60; i += 1) {
            await t.world.advance(1000);
            t.host.last.message(i < 30 ? "ping" : "news");
        }
        assert.deepStrictEqual([...new Set(t.host.last.sent.slice(0, 30))], ["pong"]);
        assert.ok(t.host.last.sent.slice(30).includes("ping"), "news alone do not");
    },

    async "an option that is wrong is named, and what is changed holds at once"() {
        for (const [name, value] of [["pong", 5], ["pong", {}], ["reply", "pong"]]) {
            const t = await program(undefined, { [name]: value });
            assert.match(t.error.message, new RegExp("^" + name + " must be"));
        }
        const t = await opened();
        t.host.last.message("pong");
        t.task.opts.pong = "pong";
        t.host.last.message("pong");
        await t.world.settle();
        assert.deepStrictEqual(messages(t), ["pong"]);
    },

    async "without these options all is as with the originals"() {
        const t = await opened();
        await t.world.advance(15001);
        t.host.last.message("heartbeat");
        t.host.last.message("ping");
        await t.world.settle();
        assert.deepStrictEqual([t.host.last.sent, messages(t)], [["heartbeat"], ["heartbeat", "ping"]]);
    },
};

run(checks, rejections);
