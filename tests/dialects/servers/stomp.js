// A broker of STOMP, stomp-broker-js: by its argument it demands heartbeats, or sends them. It sends news,
// and prints what happens.
"use strict";
const http = require("http");
const StompServer = require("stomp-broker-js");

// Milliseconds that the broker sends and wants heartbeats by.
const heartbeat = { demands: [0, 300], sends: [300, 0] }[process.argv[2]];
const server = http.createServer();
const broker = new StompServer({ server, path: "/stomp", heartbeat, heartbeatErrorMargin: 1200 });
const tell = (...event) => console.log(JSON.stringify(event));
broker.socket.on("connection", (socket) => {
    socket.on("message", (data) => tell("message", String(data)));
    socket.on("close", () => tell("closed"));
});
setInterval(() => broker.send("/topic/news", {}, "headline"), 50);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
