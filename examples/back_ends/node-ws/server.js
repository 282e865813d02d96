// A back end on Node's ws that keeps the agreement of docs/back-ends.md: node server.js [port]
"use strict";
const { WebSocketServer } = require("ws");

const HEARTBEAT = "heartbeat"; // the pingMsg of clients, or the message of their Heartbeat
const DISMISSAL = "dismissed"; // the dismissal of clients
const IDLE_TIMEOUT = Number(process.env.IDLE_TIMEOUT || 60000); // ms of silence
const WRITE_LIMIT = 4 << 20; // bytes that may wait for one client

const server = new WebSocketServer({
    port: Number(process.argv[2] ?? 8080),
    maxPayload: 4 << 20, // ws's own default is 100 MiB
    // Otherwise ws chooses the first subprotocol that a client offers, known or not.
    handleProtocols: (offered) => offered.has("v1") && "v1",
});

// Your own code: it may wait for as long as it likes, but never compute for long without waiting.
async function onMessage(socket, message) {
    send(socket, message);
}

server.on("connection", (socket) => {
    const heard = () => { socket.silent = false; };
    socket.on("ping", heard); // ws has answered it
    socket.on("pong", heard);
    socket.on("error", console.error); // a client that breaks the protocol: without this the process would end
    socket.on("message", (data, isBinary) => {
        heard();
        const message = isBinary ? data : data.toString();
        if (message === HEARTBEAT) {
            socket.send(HEARTBEAT); // at once, before anything that waits
        } else {
            onMessage(socket, message).catch(console.error);
        }
    });
});

// ws pings nobody by itself. A client that was silent for half of IDLE_TIMEOUT is pinged, and dropped half of it later.
const patrol = setInterval(() => {
    for (const socket of server.clients) {
        if (socket.silent) {
            socket.terminate();
        } else {
            socket.silent = true;
            socket.ping();
        }
    }
}, IDLE_TIMEOUT / 2);
server.on("close", () => clearInterval(patrol));

// ws buffers without bounds what a client does not read.
function send(socket, message) {
    if (socket.bufferedAmount > WRITE_LIMIT) {
        socket.terminate();
    } else {
        socket.send(message);
    }
}

// For good: by the message where no close code arrives, as in Alipay, and by a code of 4500 to 4999.
function dismiss(socket, reason) {
    socket.send(DISMISSAL);
    socket.close(4500, reason); // at most 123 bytes of UTF-8
}

// Before a restart: every client comes back, at a moment of its own within so many seconds.
function sendAway(seconds) {
    let place = 0;
    for (const socket of server.clients) {
        place += seconds / server.clients.size;
        socket.close(1012, `restarting; retry-after=${place.toFixed(1)}`);
    }
}

process.on("SIGTERM", () => {
    sendAway(30);
    server.close(); // no new clients; the process ends when the last one is gone
    setTimeout(() => process.exit(), 5000).unref(); // or does not answer
});

module.exports = { server, send, dismiss, sendAway };
