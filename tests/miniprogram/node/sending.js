// What is sent, in which shape, and what becomes of it where nobody knows whether the link works.
// Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { run, program, opened, page, openedPage } = require("./program.js")(paths);
const { SingleHost, TaskHost } = require("./mocks.js");

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const isBuffer = (value) => Object.prototype.toString.call(value) === "[object ArrayBuffer]";
const bytesOf = (value) => [...new Uint8Array(value)];

// Views of the bytes 1 to 8, which stand in the middle of a larger buffer.
function views() {
    const buffer = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9]).buffer;
    return {
        Uint8Array: new Uint8Array(buffer, 8, 8),
        Uint16Array: new Uint16Array(buffer, 8, 4),
        Float64Array: new Float64Array(buffer, 8, 1),
        DataView: new DataView(buffer, 8, 8),
        Buffer: Buffer.from(buffer, 8, 8),
        ArrayBuffer: buffer.slice(8, 16),
    };
}

const EIGHT = [1, 2, 3, 4, 5, 6, 7, 8];

// A program on a host that also tells of the network.
function online(makeHost) {
    return opened(undefined, {}, makeHost || ((world) => new TaskHost(world)));
}

const checks = {
    async "hosts get the bytes of a view as an ArrayBuffer, and no others"() {
        for (const [name, view] of Object.entries(views())) {
            const t = await opened();
            t.task.send({ data: view });
            t.task.send(view);
            for (const sent of t.host.last.sent) {
                assert.ok(isBuffer(sent), name);
                assert.deepStrictEqual(bytesOf(sent), EIGHT, name);
            }
            assert.strictEqual(t.host.last.sent.length, 2);
        }
    },

    async "Alipay gets them as base64"() {
        for (const [name, view] of Object.entries(views())) {
            const t = await program(undefined, {}, (world) => new SingleHost(world));
            t.host.open();
            t.task.send({ data: view });
            assert.deepStrictEqual([t.host.sent[0].data, t.host.sent[0].isBuffer], ["AQIDBAUGBwg=", true], name);
        }
    },

    async "a heartbeat may be bytes, and may come by a promise"() {
        for (const pingMsg of [new Uint8Array([9]), () => new Uint8Array([9]), async () => new Uint8Array([9])]) {
            const t = await opened(undefined, { pingMsg });
            await t.world.advance(15001);
            assert.strictEqual(t.host.last.sent.length, 1);
            assert.ok(isBuffer(t.host.last.sent[0]));
            assert.deepStrictEqual(bytesOf(t.host.last.sent[0]), [9]);
        }
        const t = await opened(undefined, { pingMsg: () => Promise.reject(new Error("no token")) });
        await t.world.advance(27100);
        assert.deepStrictEqual([t.host.last.sent.length, t.host.attempts], [0, 2]);
    },

    async "a heartbeat that comes late is not sent on the next link"() {
        let resolve;
        const t = await opened(undefined, { pingMsg: () => new Promise((good) => (resolve = good)) });
        await t.world.advance(15001);
        t.host.last.lose();
        await t.world.advance(1001);
        t.host.last.open();
        resolve("late");
        await t.world.advance(1);
        assert.deepStrictEqual(t.host.sockets.map(({ sent }) => sent), [[], []]);
    },

    async "a text or bytes without an object around them are sent as they are"() {
        const t = await program();
        t.task.send("waits");
        t.host.last.open();
        t.task.send("text");
        t.task.send("");
        t.task.send(new Uint8Array(EIGHT).buffer);
        assert.deepStrictEqual(t.host.last.sent.slice(0, 3), ["waits", "text", ""]);
        assert.deepStrictEqual(bytesOf(t.host.last.sent[3]), EIGHT);
    },

    async "bytes that wait are those that were given, whatever is written over them"() {
        const given = new Uint8Array(EIGHT);
        const t = await program();
        const q = page();
        q.make();
        await q.world.advance(1);
        t.task.send({ data: given.buffer });
        q.heartbeat.send(given);
        given.fill(0);
        t.host.last.open();
        q.last.open();
        await q.world.advance(1);
        assert.deepStrictEqual(bytesOf(t.host.last.sent[0]), EIGHT);
        assert.deepStrictEqual(bytesOf(q.last.sent[0]), EIGHT);
    },

    async "the binaryType of a page's WebSocket holds for the next one"() {
        const t = await openedPage();
        t.heartbeat.ws.binaryType = "arraybuffer";
        for (let i = 0; i < 2; i += 1) {
            t.last.lose();
            await t.world.advance(2001);
            assert.strictEqual(t.last.binaryType, "arraybuffer");
            t.last.open();
        }
        assert.strictEqual(t.sockets.length, 3);
    },

    async "while there is no network what is sent waits, and no success is claimed"() {
        const t = await online();
        const told = [];
        const message = (data) => ({ data, success: () => told.push("success " + data), fail: () => told.push("fail " + data) });
        t.host.emit("NetworkStatusChange", { isConnected: false });
        assert.strictEqual(t.task.send(message("a")), true);
        await t.world.advance(1000);
        assert.deepStrictEqual(told, []);
        assert.ok(!t.host.last.sent.includes("a"));
        t.host.emit("NetworkStatusChange", { isConnected: true });
        t.task.send(message("b"));
        assert.ok(!t.host.last.sent.includes("a"), "the link may have died with the network");
        t.host.last.message("answer");
        t.task.send(message("c"));
        assert.deepStrictEqual(t.host.last.sent.filter((data) => data !== "heartbeat"), ["a", "b", "c"]);
        assert.deepStrictEqual(told, ["success a", "success b", "success c"]);
    },

    async "what waits goes to the next link if the present one has died with the network"() {
        const t = await online();
        t.host.emit("NetworkStatusChange", { isConnected: true });
        t.task.send({ data: "a" });
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"], "another network: the link is asked first");
        await t.world.advance(5002 + 2000);
        assert.strictEqual(t.host.attempts, 2);
        t.host.last.open();
        assert.deepStrictEqual(t.host.sockets.map(({ sent }) => sent), [["heartbeat"], ["a"]]);
    },

    async "in the background what is sent waits where the host refuses it, and is sent after the return"() {
        const t = await opened();
        t.host.emit("AppHide");
        t.host.last.onSend = () => false;
        const told = [];
        t.task.send({ data: "a", success: () => told.push("success"), fail: () => told.push("fail") });
        await t.world.advance(3000);
        assert.deepStrictEqual(told, []);
        t.host.last.onSend = null;
        t.host.emit("AppShow");
        t.host.last.message("answer");
        assert.deepStrictEqual(told, ["success"]);
        assert.strictEqual(t.host.last.sent.filter((data) => data === "a").length, 1);
    },

    async "in the background what is sent goes out at once where the link is heard to work"() {
        const t = await opened();
        t.host.emit("AppHide");
        t.task.send({ data: "away" });
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat"], "the link is asked");
        await t.world.advance(40);
        t.host.last.message("answer");
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat", "away"]);
        t.task.send({ data: "position" });
        assert.deepStrictEqual(t.host.last.sent, ["heartbeat", "away", "position"]);
        // And again after each way into the background.
        t.host.emit("AppShow");
        t.host.emit("AppHide");
        t.task.send({ data: "again" });
        t.task.send({ data: "and again" });
        assert.deepStrictEqual(t.host.last.sent.slice(3), ["heartbeat"], "asked once");
    },

    async "a link that is cut in the background loses nothing of what was sent there"() {
        const t = await opened();
        t.host.emit("AppHide");
        t.task.send({ data: "a" });
        await t.world.advance(5000);
        t.host.last.lose(1006, "interrupted");
        t.task.send({ data: "b" });
        t.host.emit("AppShow");
        await t.world.advance(1);
        t.host.last.open();
        await t.world.advance(1);
        assert.deepStrictEqual(t.host.last.sent, ["a", "b"]);
    },

    async "a page in the background sends at once: its socket works there"() {
        const t = await openedPage();
        t.window.document.hidden = true;
        t.window.document.emit("visibilitychange");
        t.heartbeat.send("a");
        assert.deepStrictEqual(t.last.sent, ["a"]);
    },

    async "a page keeps what is sent while it is offline, or while its socket is closing"() {
        const t = await openedPage();
        t.window.emit("offline");
        assert.strictEqual(t.heartbeat.send("a"), true);
        assert.ok(!t.last.sent.includes("a"));
        t.window.emit("online");
        t.last.message("answer");
        assert.deepStrictEqual(t.last.sent.filter((data) => data !== "heartbeat"), ["a"]);
        // The server's close frame has come; onclose follows later.
        t.last.readyState = 2;
        assert.strictEqual(t.heartbeat.send("b"), true);
        t.last.lose(1012);
        await t.world.advance(2001);
        t.last.open();
        assert.deepStrictEqual(t.last.sent, ["b"]);
    },

    async "where nothing may wait, what is sent in doubt fails"() {
        const t = await opened(undefined, { sendQueue: 0 });
        const told = [];
        t.host.emit("NetworkStatusChange", { isConnected: false });
        assert.strictEqual(t.task.send({ data: "a", fail: ({ errMsg }) => told.push(errMsg) }), false);
        assert.deepStrictEqual(told, ["send:fail open"]);
    },

    async "what a callback of a message sends comes after what waits already"() {
        const t = await program();
        t.task.send({ data: "a", success: () => t.task.send({ data: "c" }) });
        t.task.send({ data: "b" });
        t.host.last.open();
        assert.deepStrictEqual(t.host.last.sent, ["a", "b", "c"]);
    },

    async "a page is warned of messages that it has given and that are never sent"() {
        const t = page();
        t.make();
        t.heartbeat.send("a");
        t.heartbeat.send("b");
        t.heartbeat.close();
        await t.world.advance(10);
        assert.strictEqual(t.world.warnings.filter((text) => /not all that send/.test(text)).length, 1);
        const q = await program();
        const told = [];
        q.task.send({ data: "a", fail: () => told.push("fail") });
        q.task.close();
        await q.world.advance(10);
        assert.deepStrictEqual([told, q.world.warnings], [["fail"], []]);
    },

    async "with bothDirections a heartbeat is sent when nothing was sent, whatever is heard, and not otherwise"() {
        for (const bothDirections of [false, true]) {
            const t = await opened(undefined, { bothDirections });
            for (let i = 0; i < 50; i += 1) {
                await t.world.advance(1000);
                t.host.last.message("tick");
            }
            const beats = t.host.last.sent.length;
            assert.ok(bothDirections ? beats >= 3 && beats <= 4 : beats === 0, String(beats));
            for (let i = 0; i < 50; i += 1) {
                await t.world.advance(1000);
                t.host.last.message("tick");
                t.task.send({ data: "data" });
            }
            assert.strictEqual(t.host.last.sent.filter((data) => data === "heartbeat").length, beats);
            assert.strictEqual(t.host.attempts, 1);
        }
    },
};

run(checks, rejections);
