// Starts a library on a mock host or page, notes what its user is told, and runs named checks of it.
"use strict";
const assert = require("assert");
const { World } = require("./world.js");
const { TaskHost, makePage } = require("./mocks.js");

// Play each check, then print a JSON object: name -> null, or what went wrong.
async function run(checks, rejections) {
    const results = {};
    for (const [name, play] of Object.entries(checks)) {
        rejections.length = 0;
        try {
            await play();
            await new Promise(setImmediate);
            assert.deepStrictEqual(rejections, [], "unhandled rejections");
            results[name] = null;
        } catch (error) {
            results[name] = String((error && error.stack) || error);
        }
    }
    console.log(JSON.stringify(results));
}

module.exports = (paths) => {
    // A program on a host like wx. `answer` as TaskHost takes it; `options` beside
    // miniprogram and url.
    async function program(answer, options, makeHost, globals) {
        const world = new World();
        const host = makeHost ? makeHost(world) : new TaskHost(world, answer);
        const make = world.load(paths.miniprogram, globals);
        const t = { world, host, hooks: [], task: null, error: null };
        make({ miniprogram: host, connectSocketParams: { url: "wss://example.com/" }, ...options }).then(
            (task) => {
                t.task = task;
                for (const name of ["Open", "Message", "Close", "Error", "Reconnect", "State", "GiveUp"]) {
                    task["on" + name] = (event) => t.hooks.push([name, event]);
                }
            },
            (error) => {
                t.error = error;
            }
        );
        t.names = () => t.hooks.map(([name]) => name).filter((name) => name !== "State");
        t.count = (name) => t.hooks.filter(([each]) => each === name).length;
        t.event = (name) => t.hooks.filter(([each]) => each === name).map(([, event]) => event).pop();
        await world.advance(1);
        return t;
    }

    async function opened(answer, options, makeHost) {
        const t = await program(answer, options, makeHost);
        t.host.last.open();
        await t.world.settle();
        return t;
    }

    function page(options) {
        const world = new World();
        const window = makePage(world);
        const Make = world.load(paths.browser, { self: window, WebSocket: window.WebSocket });
        const t = { world, window, hooks: [], sockets: window.sockets };
        t.make = () => {
            const heartbeat = new Make({ url: "wss://example.com/", ...options });
            for (const name of ["open", "message", "close", "error", "reconnect", "state", "giveup"]) {
                heartbeat["on" + name] = (event) => t.hooks.push([name, event]);
            }
            t.heartbeat = heartbeat;
        };
        Object.defineProperty(t, "last", { get: () => window.sockets[window.sockets.length - 1] });
        t.live = () => window.sockets.filter((socket) => socket.isLive).length;
        return t;
    }

    async function openedPage(options) {
        const t = page(options);
        t.make();
        await t.world.advance(1);
        t.last.open();
        await t.world.settle();
        return t;
    }

    return { run, program, opened, page, openedPage };
};
