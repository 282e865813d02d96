// The server of ws as it is: it selects the first subprotocol that is offered, and sends each message back. On the
// path /hello it speaks first. Prints ["port", number]; {heard: true} has it print what it has heard, as text.
"use strict";
const path = require("path");
const readline = require("readline");

const { WebSocketServer } = require(path.join(JSON.parse(process.argv[2]).modules, "ws"));
const say = (...words) => console.log(JSON.stringify(words));
const heard = [];
const server = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () => say("port", server.address().port));
server.on("connection", (socket, request) => {
    if (request.url === "/hello") socket.send('{"hello":"world"}');
    socket.on("message", (data, isBinary) => {
        heard.push(data.toString("latin1"));
        socket.send(data, { binary: isBinary });
    });
});
readline.createInterface({ input: process.stdin }).on("line", () => say("heard", heard));
