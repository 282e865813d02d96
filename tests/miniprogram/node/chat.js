// Runs the mini program of examples/miniprogram-chat as WeChat would, led by lines.
// Arguments: a JSON object: program (its directory), modules (with ws), url (of the server).
// Reads lines: what a person types and sends, or "retry" for a tap on that button. Prints the page's data, a line of
// JSON for every change.
"use strict";
const path = require("path");
const readline = require("readline");

const { program, modules, url } = JSON.parse(process.argv[2]);
const host = require("./wx.js")(require(path.join(modules, "ws")).WebSocket);

// The program has a fixed address.
global.wx = { connectSocket: (params) => host.connectSocket({ ...params, url }) };
global.App = (app) => app.onLaunch();
global.Page = (page) => {
    page.setData = (data) => {
        Object.assign(page.data, data);
        console.log(JSON.stringify(page.data));
    };
    page.onLoad();
    readline.createInterface({ input: process.stdin }).on("line", (line) => {
        if (line === "retry") return page.retry();
        page.typed({ detail: { value: line } });
        page.send();
    });
};
require(path.join(program, "app.js"));
for (const name of require(path.join(program, "app.json")).pages) require(path.join(program, name));
