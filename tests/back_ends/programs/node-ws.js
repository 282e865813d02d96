// The example of examples/back_ends/node-ws, with a handler that may be busy, and told what to do by lines of JSON.
"use strict";
const readline = require("readline");
const { server, send, dismiss, sendAway } = require("../../../examples/back_ends/node-ws/server.js");

const tell = (...event) => console.log(JSON.stringify(event));
const every = (action) => server.clients.forEach(action);

server.on("listening", () => tell("port", server.address().port));
server.on("connection", (socket) => {
    tell("open");
    socket.on("message", (data) => {
        const [word, milliseconds] = data.toString("latin1", 0, 20).split(" ");
        tell("message", data.length);
        if (word === "block") {
            const until = Date.now() + Number(milliseconds);
            while (Date.now() < until);
        }
    });
    socket.on("close", (code) => tell("closed", code));
});

const orders = {
    dismiss: (reason) => every((socket) => dismiss(socket, reason)),
    away: sendAway,
    close: (...how) => every((socket) => socket.close(...how)),
    parts: (...parts) => every((socket) => parts.forEach(
        (part, place) => socket.send(part, { fin: place === parts.length - 1 }))),
    flood: (count) => every((socket) => {
        const message = "x".repeat(1 << 16);
        for (let sent = 0; sent < count; sent += 1) send(socket, message);
        tell("flooded", socket.bufferedAmount);
    }),
};
readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [order, ...details] = JSON.parse(line);
    orders[order](...details);
});
