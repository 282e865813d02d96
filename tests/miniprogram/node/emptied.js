// A host whose functions the h5 build of Taro or uni-app has left out, on a page. Arguments and output as faults.js.
"use strict";
const assert = require("assert");
const { World } = require("./world.js");
const { makePage } = require("./mocks.js");

const paths = JSON.parse(process.argv[2]);
const { run, program } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

// A program on a page that is given `host`. `without`: what the page does not have.
async function emptied(host, without) {
    const page = makePage(new World());
    page.WebSocket = class extends page.WebSocket {
        addEventListener(name, listener) {
            this["on" + name] = listener;
        }

        removeEventListener(name) {
            this["on" + name] = null;
        }

        close(code, reason) {
            if (code !== 1000 && !(code >= 3000 && code < 5000)) throw new Error("InvalidAccessError");
            this.closed = [code, reason];
            super.close();
        }
    };
    if (without) delete page[without];
    const t = await program(undefined, {}, () => host, { self: page });
    Object.defineProperty(t, "last", { get: () => page.sockets[page.sockets.length - 1] });
    t.open = async () => {
        t.last.open();
        await t.world.settle();
    };
    t.page = page;
    return t;
}

const checks = {
    async "it connects over the page's WebSocket, which is the socket task"() {
        const t = await emptied({});
        await t.open();
        assert.deepStrictEqual([t.task.state, t.task.socketTask, t.last.binaryType], ["open", t.last, "arraybuffer"]);
        const answers = [];
        const answer = (name) => ({ errMsg }) => answers.push([name, errMsg]);
        const callbacks = { success: answer("success"), fail: answer("fail"), complete: answer("complete") };
        assert.strictEqual(t.task.send({ data: "hello", ...callbacks }), true);
        t.last.message("answer");
        assert.deepStrictEqual([t.last.sent, t.event("Message").data], [["hello"], "answer"]);
        assert.deepStrictEqual(answers.splice(0), [["success", "send:ok"], ["complete", "send:ok"]]);
        t.task.close({ code: 3000, reason: "leaving", ...callbacks });
        await t.world.settle();
        assert.deepStrictEqual([t.last.closed, t.task.state], [[3000, "leaving"], "closed"]);
        assert.deepStrictEqual(answers, [["success", "close:ok"], ["complete", "close:ok"]]);
    },

    async "the code of a close, and a message that the socket would drop, are told"() {
        const t = await emptied({});
        await t.open();
        t.last.readyState = 2;
        const failed = [];
        assert.strictEqual(t.task.send({ data: "late", fail: ({ errMsg }) => failed.push(errMsg) }), false);
        assert.deepStrictEqual([failed, t.last.sent], [["send:fail"], []]);
        t.last.lose(4000, "why");
        await t.world.settle();
        assert.deepStrictEqual([t.event("Close").code, t.event("Close").reason], [4000, "why"]);
    },

    async "a close code that the page does not take fails"() {
        const t = await emptied({});
        await t.open();
        const failed = [];
        t.task.close({ code: 1001, fail: ({ errMsg }) => failed.push(errMsg) });
        assert.deepStrictEqual(failed, ["close:fail"]);
        t.task.destroy();
    },

    async "a page that is shown again is asked whether its link works"() {
        const t = await emptied({});
        await t.open();
        t.page.document.hidden = true;
        t.page.document.emit("visibilitychange");
        await t.world.advance(5000);
        assert.deepStrictEqual([t.task.state, t.last.sent], ["open", []]);
        t.page.document.hidden = false;
        t.page.document.emit("visibilitychange");
        assert.deepStrictEqual([t.task.state, t.last.sent], ["probing", ["heartbeat"]]);
    },

    async "retries wait while the page is offline"() {
        const t = await emptied({});
        await t.open();
        t.page.emit("offline");
        t.last.lose();
        await t.world.advance(600000);
        assert.strictEqual(t.page.sockets.length, 1);
        t.page.emit("online");
        await t.world.advance(10000);
        assert.strictEqual(t.page.sockets.length, 2);
    },

    async "at the end nothing listens to the page"() {
        const t = await emptied({});
        await t.open();
        const all = () => [...Object.values(t.page.listeners), ...Object.values(t.page.document.listeners)].flat();
        assert.strictEqual(all().length, 4);
        t.task.destroy();
        assert.deepStrictEqual(all(), []);
    },

    async "a host that has sockets is the host, on a page too"() {
        const t = await emptied({ connectSocket: () => ({ onOpen() {} }) });
        assert.deepStrictEqual([t.error, t.page.sockets], [null, []]);
    },

    async "what is no host, and no page, is an error"() {
        for (const host of [undefined, null, "wx", { connectSocket: 3 }]) {
            assert.match((await emptied(host)).error.message, /^miniprogram must be the host/);
        }
        for (const without of ["WebSocket", "document"]) {
            assert.match((await emptied({}, without)).error.message, /^miniprogram must be the host/);
        }
        assert.match((await program(undefined, {}, () => ({}))).error.message, /^miniprogram must be the host/);
    },
};

run(checks, rejections);
