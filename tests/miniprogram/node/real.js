// Runs the built library on a real host over real sockets, and is led by lines.
// Arguments: a JSON object: library, kind (of host), bundles (a directory), modules (with ws), url, options.
// Reads lines of JSON: {send: text} or {close: params}. Prints what the user is told, one JSON array a line.
// It ends by itself when the library has let go of everything.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");
const readline = require("readline");

const { library, kind, bundles, modules, url, options } = JSON.parse(process.argv[2]);
const { WebSocket } = require(path.join(modules, "ws"));
const wx = require("./wx.js")(WebSocket);
const nothing = () => {};

// What a page of Node has; uni-app's h5 asks for more at its start, and needs nothing of it for sockets.
const element = { style: {}, appendChild: nothing, setAttribute: nothing, addEventListener: nothing };
const page = {
    console, setTimeout, clearTimeout, setInterval, clearInterval, URL, WebSocket,
    addEventListener: nothing, removeEventListener: nothing,
    CSS: { supports: () => false },
    document: {
        addEventListener: nothing, body: element, cookie: "", createElement: () => element,
        documentElement: element, getElementsByTagName: () => [], head: element, querySelector: () => null,
    },
    getComputedStyle: () => ({}), getCurrentPages: () => [], history: {},
    localStorage: { getItem: () => null, removeItem: nothing, setItem: nothing },
    location: { hash: "", host: "localhost", href: "http://localhost/", origin: "http://localhost", pathname: "/", search: "" },
    matchMedia: () => ({ matches: false, addListener: nothing }),
    navigator: { platform: "", userAgent: "", vendor: "" },
    __uniConfig: {},
};
page.window = page.self = page;
vm.createContext(page);
const load = (name) => vm.runInContext(fs.readFileSync(path.join(bundles, name), "utf8"), page);

const hosts = {
    wx: () => wx,
    "taro-h5": () => (load("taro-h5.js"), vm.runInContext("Taro", page)),
    "uni-h5": () => (load("uni-h5.js"), vm.runInContext("uni", page)),
    "taro-mini": () => {
        load("taro-mini.js");
        const taro = {};
        const how = { isOnlyPromisify: true, needPromiseApis: ["connectSocket"] };
        vm.runInContext("TaroShared", page).processApis(taro, wx, how);
        return taro;
    },
};

const say = (...words) => console.log(JSON.stringify(words));

require(library)({ miniprogram: hosts[kind](), connectSocketParams: { url }, ...options }).then((task) => {
    task.onOpen = () => say("open");
    task.onMessage = ({ data }) => say("message", data);
    task.onClose = ({ code, reason }) => say("close", code === undefined ? null : code, reason);
    task.onReconnect = ({ attempt }) => say("reconnect", attempt);
    task.onState = (state) => say("state", state);
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", (line) => {
        const order = JSON.parse(line);
        if (order.send !== undefined) task.send({ data: order.send });
        if (order.close) {
            task.close(order.close);
            lines.close();
            process.stdin.destroy();
        }
    });
});
