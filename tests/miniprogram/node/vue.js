// What Vue 3 makes of a connection that is kept in its state. Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { reactive, ref } = require(paths.vue);
const { TaskHost } = require("./mocks.js");
const { run, program, page } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

// As `this.task = task` does, with data() in Vue's options, and `state.value = task` of a ref.
const kept = {
    reactive: (task) => reactive({ task }).task,
    ref(task) {
        const state = ref(null);
        state.value = task;
        return state.value;
    },
};

// A host that makes texts of the names by which it is read, and throws where these are symbols, as uni-app's does.
const strict = (world) => new Proxy(new TaskHost(world), { get: (host, name) => host["" + name] });

const checks = {};
for (const [how, keep] of Object.entries(kept)) {
    checks[`a program's connection in Vue's state (${how}) renews, reconnects and closes`] = async () => {
        const t = await program(undefined, {}, strict);
        const task = keep(t.task);
        t.host.last.open();
        await t.world.settle();
        task.send({ data: "one" });
        assert.deepStrictEqual(t.host.last.sent, ["one"]);
        const [old] = t.host.sockets;
        task.renew();
        await t.world.settle();
        t.host.last.open();
        await t.world.settle();
        assert.deepStrictEqual([t.host.live, old.closes.length, t.host.attempts], [[t.host.last], 1, 2]);
        task.send({ data: "two" });
        assert.deepStrictEqual(t.host.last.sent, ["two"]);
        task.reconnect();
        assert.deepStrictEqual([t.host.live, t.host.attempts], [[t.host.last], 3]);
        t.host.last.open();
        await t.world.settle();
        task.close();
        await t.world.settle();
        assert.deepStrictEqual([t.host.live, task.state], [[], "closed"]);
        task.createWebSocket();
        task.destroy();
        assert.deepStrictEqual([t.host.live, task.state], [[], "closed"]);
        assert.deepStrictEqual([t.world.uncaught, t.world.reported], [[], []]);
    };

    checks[`a page's connection in Vue's state (${how}) renews, reconnects and closes`] = async () => {
        const t = page();
        t.make();
        await t.world.advance(1);
        const heartbeat = keep(t.heartbeat);
        t.last.open();
        heartbeat.renew();
        t.last.open();
        await t.world.settle();
        assert.deepStrictEqual([t.live(), t.sockets.length, heartbeat.ws], [1, 2, t.last]);
        heartbeat.reconnect();
        t.last.open();
        await t.world.settle();
        assert.deepStrictEqual([t.live(), t.sockets.length, heartbeat.ws], [1, 3, t.last]);
        heartbeat.close();
        await t.world.advance(1);
        assert.deepStrictEqual([t.live(), heartbeat.state], [0, "closed"]);
    };
}

checks["what Vue's state gives back is the same object, and nobody sees how"] = async () => {
    const t = await program(undefined, {});
    const q = page();
    q.make();
    const session = require(paths.session)("prefer");
    for (const each of [t.task, q.heartbeat, session]) {
        assert.strictEqual(reactive({ each }).each, each);
        const names = [];
        for (const name in each) names.push(name);
        assert.ok(!names.includes("__v_skip"));
    }
};

run(checks, rejections);
