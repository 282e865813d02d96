// The built file for pages, in Node: page.js LIBRARY OPTIONS. Tells its events and takes orders, by lines of words between tabs.
"use strict";
const readline = require("readline");
const WebsocketHeartbeatJs = require(process.argv[2]);

const { closesOn, ...options } = JSON.parse(process.argv[3]);
const tell = (...event) => console.log(event.join("\t"));

const heartbeat = new WebsocketHeartbeatJs(options);
heartbeat.onopen = () => tell("open");
heartbeat.onmessage = ({ data }) => tell("message", typeof data === "string" ? data : data.constructor.name);
heartbeat.onclose = ({ code, reason }) => {
    tell("closed", code, reason);
    if (code === closesOn) heartbeat.close();
};
heartbeat.onreconnect = ({ attempt, delay, reason }) => tell("reconnect", attempt, delay, reason);
heartbeat.ongiveup = ({ reason }) => tell("gave up", reason);
heartbeat.onstate = (state) => tell("state", state);

const orders = {
    send: (text) => heartbeat.send(text),
    bytes: (count) => heartbeat.send(new Uint8Array(Number(count))),
    close: () => heartbeat.close(),
};
readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [order, ...details] = line.split("\t");
    orders[order](...details);
});
