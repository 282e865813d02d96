// Runs the built library on a real host over real sockets, and is led by lines.
// Arguments: a JSON object: library, kind (of host), bundles (a directory), modules (with ws), url, options; isLate:
// the url comes by a promise that is rejected the first time; hasLogin: onOpen logs in, and waits for the answer, and
// fails if that is "wrong".
// Reads lines of JSON: {send: text}, {words: numbers of 16 bits}, {renew: true}, {close: params} or
// {end: true}, after which there are no more lines, as after {close}. Prints what the user is told, one
// JSON array a line.
// It ends by itself when the library has let go of everything.
"use strict";
const path = require("path");
const readline = require("readline");

const { library, kind, bundles, modules, url, options, isLate, hasLogin } = JSON.parse(process.argv[2]);
const { WebSocket } = require(path.join(modules, "ws"));
const host = require("./hosts.js")(kind, bundles, WebSocket);

const say = (...words) => console.log(JSON.stringify(words));
// A login that fails is thrown again where error monitors see it.
if (hasLogin) process.on("uncaughtException", (error) => say("uncaught", String(error)));

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const addresses = [() => Promise.reject({ errMsg: "request:fail" })];
const connectSocketParams = isLate
    ? async () => ({ url: () => pause(50).then(addresses.shift() || (() => url)) })
    : { url };
const show = (data) => (typeof data === "string" ? data : [...new Uint8Array(data)]);

require(library)({ miniprogram: host, connectSocketParams, ...options }).then((task) => {
    let answered = () => {};
    task.onOpen = async () => {
        say("open");
        if (!hasLogin) return;
        await pause(50);
        task.send("login");
        if ((await new Promise((resolve) => (answered = resolve))) === "wrong") await Promise.reject("wrong password");
    };
    task.onMessage = ({ data }) => {
        say("message", show(data));
        answered(data);
    };
    task.onClose = ({ code, reason }) => say("close", code === undefined ? null : code, reason);
    task.onError = ({ errMsg }) => say("error", errMsg);
    task.onReconnect = ({ attempt, delay }) => say("reconnect", attempt, delay);
    task.onState = (state) => say("state", state);
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", (line) => {
        const order = JSON.parse(line);
        if (order.send !== undefined) task.send({ data: order.send });
        if (order.renew) task.renew();
        if (order.words) task.send({ data: new Uint16Array([0, ...order.words, 0]).subarray(1, -1) });
        if (order.close) task.close(order.close);
        if (order.close || order.end) {
            lines.close();
            process.stdin.destroy();
        }
    });
});
