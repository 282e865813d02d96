// How an attempt begins and fails: urls and parameters that come later, refusals, and the user's own wish to connect.
// Arguments and output as faults.js.
"use strict";
const assert = require("assert");

const paths = JSON.parse(process.argv[2]);
const { run, program, opened, page, openedPage } = require("./program.js")(paths);

const rejections = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const ADDRESS = "wss://example.com/?token=1";
const never = new Promise(() => {});

// A promise that the test settles.
function later() {
    const settled = {};
    settled.promise = new Promise((resolve, reject) => Object.assign(settled, { resolve, reject }));
    return settled;
}

// Every way in which the address may come later.
const ways = {
    "a function of a promise": (promise) => ({ url: () => promise }),
    "an async function": (promise) => ({ url: async () => promise }),
    "a promise": (promise) => ({ url: promise }),
    "an object with a method then": (promise) => ({ url: { then: (good, bad) => void promise.then(good, bad) } }),
    "a promise of a promise by hand": (promise) => ({ url: { then: (good) => good(promise) } }),
};
const waysOfParams = {
    ...Object.fromEntries(Object.entries(ways).map(([name, make]) => [name, (promise) => make(promise)])),
    "a function of a promise of all": (promise) => async () => ({ url: await promise, header: { a: "b" } }),
    "a promise of all": (promise) => promise.then((url) => ({ url })),
    "functions of promises twice": (promise) => async () => ({ url: async () => promise }),
};

const checks = {
    async "a mini program dials the address that comes by a promise, and nothing before"() {
        for (const [name, make] of Object.entries(waysOfParams)) {
            const address = later();
            const t = await program(undefined, { connectSocketParams: make(address.promise) });
            await t.world.advance(5000);
            assert.strictEqual(t.host.attempts, 0, name);
            address.resolve(ADDRESS);
            await t.world.settle();
            assert.strictEqual(t.host.attempts, 1, name);
            assert.strictEqual(t.host.last.params.url, ADDRESS, name);
            t.host.last.open();
            await t.world.advance(1);
            assert.deepStrictEqual(t.names(), ["Open"], name);
        }
    },

    async "a page dials the address that comes by a promise, and nothing before"() {
        for (const [name, make] of Object.entries(ways)) {
            const address = later();
            const t = page(make(address.promise));
            t.make();
            await t.world.advance(5000);
            assert.strictEqual(t.sockets.length, 0, name);
            address.resolve(ADDRESS);
            await t.world.settle();
            assert.deepStrictEqual(t.sockets.map(({ url }) => url), [ADDRESS], name);
            assert.strictEqual(t.heartbeat.ws, t.last, name);
        }
    },

    async "the subprotocols of a page may come by a promise, too"() {
        const t = page({ protocols: async () => ["bearer", "token"] });
        t.make();
        await t.world.settle();
        assert.deepStrictEqual(t.last.protocols, ["bearer", "token"]);
    },

    async "a function is asked again for every attempt"() {
        let token = 0;
        const t = await program(undefined, { connectSocketParams: async () => ({ url: `wss://example.com/?${(token += 1)}` }) });
        for (let i = 0; i < 2; i += 1) {
            t.host.last.open();
            t.host.last.lose();
            await t.world.advance(2001);
        }
        assert.deepStrictEqual(t.host.sockets.map(({ params }) => params.url.slice(-2)), ["?1", "?2", "?3"]);
    },

    async "a rejection and an exception are failed attempts, told and retried with back-off"() {
        const failures = {
            "a rejection": () => Promise.reject({ errMsg: "request:fail timeout" }),
            "an exception": () => {
                throw new Error("request:fail timeout");
            },
            "an exception of then": () => ({
                then() {
                    throw new Error("request:fail timeout");
                },
            }),
        };
        for (const [name, url] of Object.entries(failures)) {
            const t = await program(undefined, { connectSocketParams: { url } });
            const q = page({ url });
            q.make();
            await t.world.advance(3000);
            await q.world.advance(3000);
            assert.strictEqual(t.event("Error").errMsg, "request:fail timeout", name);
            assert.deepStrictEqual(t.names().slice(0, 3), ["Error", "Close", "Reconnect"], name);
            assert.deepStrictEqual(q.hooks.map(([each]) => each).slice(1, 4), ["error", "close", "reconnect"].slice(0, 3), name);
            assert.strictEqual(q.hooks.find(([each]) => each === "close")[1].reason, "request:fail timeout");
            const before = t.task.repeat;
            await t.world.advance(3600000);
            assert.ok(t.task.repeat > before && t.task.repeat < 300, name);
            assert.strictEqual(t.host.attempts, 0, name);
        }
        assert.deepStrictEqual(rejections, []);
    },

    async "what a promise becomes is checked: a page dials no relative address by mistake"() {
        for (const url of [undefined, null, "", 3, true, {}, { url: ADDRESS }, () => ADDRESS, Symbol("url")]) {
            const t = page({ url: async () => url });
            t.make();
            await t.world.advance(1);
            assert.deepStrictEqual([t.sockets.length, t.heartbeat.state], [0, "waiting"]);
            const q = await program(undefined, { connectSocketParams: { url: async () => url } });
            assert.deepStrictEqual([q.host.attempts, q.task.state], [0, "waiting"]);
        }
        const t = page({ url: async () => new URL(ADDRESS) });
        t.make();
        await t.world.advance(1);
        assert.strictEqual(String(t.last.url), ADDRESS);
    },

    async "an address that does not come is given up after openTimeout, and changes nothing when it comes late"() {
        const addresses = [];
        const url = () => {
            addresses.push(later());
            return addresses[addresses.length - 1].promise;
        };
        const t = await program(undefined, { connectSocketParams: { url } });
        await t.world.advance(10001 + 2000);
        assert.strictEqual(t.event("Error").errMsg, "open timeout");
        assert.strictEqual(addresses.length, 2);
        addresses[0].resolve("wss://example.com/?old");
        await t.world.settle();
        assert.strictEqual(t.host.attempts, 0);
        addresses[1].resolve("wss://example.com/?new");
        await t.world.settle();
        t.host.last.open();
        await t.world.advance(60000);
        assert.strictEqual(t.host.sockets[0].params.url, "wss://example.com/?new");

        const q = page({ url: () => (addresses.push(later()), addresses[addresses.length - 1].promise) });
        q.make();
        await q.world.advance(5000);
        const late = addresses[addresses.length - 1];
        q.heartbeat.close();
        late.reject(new Error("too late"));
        await q.world.advance(60000);
        assert.deepStrictEqual([q.sockets.length, q.heartbeat.state], [0, "closed"]);
        assert.deepStrictEqual(q.hooks.filter(([name]) => name === "error"), []);
    },

    async "close() while the address is awaited opens nothing, and neither does a second promise"() {
        const address = later();
        let asked = 0;
        const t = await program(undefined, {
            connectSocketParams: async () => {
                await address.promise;
                return { url: () => ((asked += 1), ADDRESS) };
            },
        });
        await t.world.advance(10001);
        t.task.close();
        address.resolve();
        await t.world.advance(60000);
        assert.deepStrictEqual([t.host.attempts, asked], [0, 0]);
    },

    async "what is wrong from the beginning is still told at once"() {
        for (const url of [undefined, null, "", 3, {}]) {
            assert.throws(() => page({ url }).make(), /url must be/);
            const t = await program(undefined, { connectSocketParams: { url } });
            assert.match(t.error.message, /connectSocketParams.url/);
        }
        const t = page({ url: never });
        t.make();
        assert.strictEqual(t.heartbeat.state, "connecting");
        t.heartbeat.destroy();
    },

    async "onClose is called for an attempt that fails, once, after onError and before onReconnect"() {
        const fails = {
            "an error": (socket) => socket.error("refused"),
            "an error and a close": (socket) => {
                socket.error("refused");
                socket.emit("Close", { code: 1006, reason: "" });
            },
            "a close": (socket) => socket.lose(1006, "refused"),
            "fail": (socket) => socket.params.fail({ errMsg: "refused" }),
        };
        for (const [name, fail] of Object.entries(fails)) {
            const t = await program();
            fail(t.host.last);
            await t.world.advance(1);
            assert.deepStrictEqual(t.names(), ["Error", "Close", "Reconnect"], name);
            assert.strictEqual(t.event("Error").errMsg, "refused", name);
            assert.strictEqual(t.event("Close").reason, "refused", name);
        }
        const slow = await program();
        await slow.world.advance(10001);
        assert.deepStrictEqual(slow.names(), ["Error", "Close", "Reconnect"]);
        assert.strictEqual(slow.event("Close").reason, "open timeout");

        const q = page();
        q.make();
        await q.world.advance(1);
        q.last.refuse();
        assert.deepStrictEqual(q.hooks.map(([name]) => name).filter((name) => name !== "state"), ["error", "close", "reconnect"]);
        assert.strictEqual(q.hooks.find(([name]) => name === "close")[1].code, 1006);
    },

    async "close() is answered by onClose in every state, once"() {
        const states = {
            connecting: (t) => t,
            open: (t) => t.host.last.open(),
            waiting: (t) => t.host.last.error("refused"),
        };
        for (const [state, lead] of Object.entries(states)) {
            const t = await program();
            lead(t);
            await t.world.advance(1);
            assert.strictEqual(t.task.state, state);
            const before = t.count("Close");
            let forbidden = null;
            t.task.onClose = (event) => {
                forbidden = t.task.forbidReconnect;
                t.hooks.push(["Close", event]);
            };
            t.task.close();
            t.task.close();
            await t.world.advance(6000);
            assert.deepStrictEqual([t.count("Close") - before, forbidden, t.task.state], [1, true, "closed"], state);
        }
    },

    async "reconnect() does nothing after close(), and createWebSocket() connects again"() {
        const t = await opened();
        t.task.close();
        await t.world.advance(6000);
        t.task.reconnect();
        await t.world.advance(60000);
        assert.deepStrictEqual([t.host.attempts, t.task.state, t.task.forbidReconnect], [1, "closed", true]);
        t.task.createWebSocket();
        assert.deepStrictEqual([t.host.attempts, t.task.forbidReconnect], [2, false]);
        t.host.last.open();
        t.task.close();
        t.task.forbidReconnect = false;
        t.task.reconnect();
        assert.strictEqual(t.host.attempts, 3, "as with the original, whose flag this is");
        t.task.destroy();
        t.task.createWebSocket();
        await t.world.advance(60000);
        assert.strictEqual(t.host.attempts, 3);
    },

    async "reconnect() in a hook waits as any retry does"() {
        for (const name of ["Open", "Error", "Close", "Reconnect", "State", "GiveUp", "Message"]) {
            for (const how of ["reconnect", "createWebSocket"]) {
                const t = await program(
                    (socket) => {
                        setImmediate(() => {
                            if (name === "Open" || name === "Message") socket.open();
                            if (name === "Message") socket.message("news");
                            else if (name !== "Open") socket.error("refused");
                        });
                    },
                    name === "GiveUp" ? { repeatLimit: 0 } : {}
                );
                t.task["on" + name] = () => t.task[how]();
                if (name === "GiveUp") t.task.reconnect();
                await t.world.advance(60000);
                const most = name === "GiveUp" ? 33 : 22;
                assert.ok(t.host.attempts > 3 && t.host.attempts < most, `${name} ${how}: ${t.host.attempts}`);
                assert.ok(t.host.live.length <= 1);
            }
        }
    },

    async "a few wishes for a new link are granted at once, and more of them wait as retries do"() {
        for (const fails of [false, true]) {
            const t = await opened((socket, params, attempt) => {
                if (attempt > 1) setImmediate(() => (fails ? socket.error("refused") : socket.open()));
            });
            t.task.reconnect();
            assert.strictEqual(t.host.attempts, 2);
            for (let i = 0; i < 300; i += 1) {
                t.task.reconnect();
                await t.world.advance(10);
            }
            assert.ok(t.host.attempts <= 8, String(t.host.attempts));
            assert.ok(t.host.live.length <= 1);
            await t.world.advance(600000);
            const before = t.host.attempts;
            t.task.reconnect();
            assert.strictEqual(t.host.attempts, before + 1, "a person who waited is not made to wait");
        }
    },

    async "the delay that a close reason asks for is kept, and its text may come from the user's own function"() {
        for (const reason of ["restart; retry-after=30", "Retry-After: 30", "retry-after 30"]) {
            const t = await opened();
            t.host.last.lose(1012, reason);
            assert.ok(t.event("Reconnect").delay >= 30000, reason);
            await t.world.advance(29999);
            assert.strictEqual(t.host.attempts, 1);
            await t.world.advance(2001);
            assert.strictEqual(t.host.attempts, 2);

            const q = await openedPage();
            q.last.lose(1012, reason);
            assert.ok(q.hooks.find(([name]) => name === "reconnect")[1].delay >= 30000, reason);
        }
        const t = await program(undefined, { connectSocketParams: () => Promise.reject(new Error("429, retry-after=30")) });
        assert.ok(t.event("Reconnect").delay >= 30000);
    },

    async "retries in the background do not count against repeatLimit"() {
        let hidden = false;
        const t = await opened(
            (socket, params) => {
                if (hidden) params.fail({ errMsg: "connectSocket:fail interrupted" });
            },
            { repeatLimit: 2 }
        );
        for (let i = 0; i < 10; i += 1) {
            hidden = true;
            t.host.emit("AppHide");
            t.host.last.lose(1006, "interrupted");
            await t.world.advance(30000);
            hidden = false;
            t.host.emit("AppShow");
            await t.world.advance(1);
            assert.strictEqual(t.task.state, "connecting", `return ${i}`);
            t.host.last.open();
            await t.world.advance(1);
        }
        for (let i = 0; i < 3; i += 1) {
            t.host.last.error("refused");
            await t.world.advance(60000);
        }
        assert.strictEqual(t.task.state, "failed", "losses that somebody saw do count");
    },
};

run(checks, rejections);
