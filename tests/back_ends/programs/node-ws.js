// The example of examples/back_ends/node-ws, with a handler that may be busy, and takes orders and tells events
// by lines of words between tabs.
"use strict";
const readline = require("readline");
const { server, send, dismiss, sendAway } = require("../../../examples/back_ends/node-ws/server.js");

const tell = (...event) => console.log(event.join("\t"));
const every = (action) => server.clients.forEach(action);

server.on("listening", () => tell("port", server.address().port));
server.on("connection", (socket) => {
    tell("open");
    socket.on("message", (data) => {
        const [word, milliseconds] = data.toString("latin1", 0, 20).split(" ");
        if (word === "block") {
            const until = Date.now() + Number(milliseconds);
            while (Date.now() < until);
        }
    });
    socket.on("close", () => tell("closed"));
});

const orders = {
    dismiss: (reason) => every((socket) => dismiss(socket, reason)),
    away: (seconds) => sendAway(Number(seconds)),
    close: (code, reason) => every((socket) => socket.close(code && Number(code), reason)),
    parts: (...parts) => every((socket) => parts.forEach(
        (part, place) => socket.send(part, { fin: place === parts.length - 1 }))),
    flood: (count) => every((socket) => {
        const message = "x".repeat(1 << 16);
        for (let sent = 0; sent < Number(count); sent += 1) send(socket, message);
    }),
};
process.stdin.unref(); // the example alone decides when the process ends
readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [order, ...details] = line.split("\t");
    orders[order](...details);
});
