// Real hosts of mini programs over the WebSocket of ws: kind is wx, taro-h5, taro-mini or uni-h5;
// or emptied, what h5 builds of Taro and uni-app leave of the object that a program gives us.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

module.exports = (kind, bundles, WebSocket) => {
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
        emptied: () => {
            // In a browser an error that nobody listens to is no exception.
            page.WebSocket = class extends WebSocket {
                constructor(...args) {
                    super(...args);
                    this.on("error", nothing);
                }
            };
            global.self = page;
            return {};
        },
        "taro-mini": () => {
            load("taro-mini.js");
            const taro = {};
            const how = { isOnlyPromisify: true, needPromiseApis: ["connectSocket"] };
            vm.runInContext("TaroShared", page).processApis(taro, wx, how);
            return taro;
        },
    };
    return hosts[kind]();
};
