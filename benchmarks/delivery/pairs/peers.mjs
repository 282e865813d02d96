// The peers in JavaScript: node peers.mjs FOLDER_OF_MODULES OPTIONS ROLE NAME. As job.py, which says what they do.
import { constants, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const [folder, text, role, name] = process.argv.slice(2);
const options = JSON.parse(text);
const require = createRequire(`${folder}/package.json`);
const httpUrl = options.url.replace("ws://", "http://");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const received = openSync(`${options.folder}/${role}.received`, "a");
const sent = openSync(`${options.folder}/${role}.sent`, constants.O_RDWR | constants.O_CREAT);
let sender = null;

// As in a page, which goes on when a promise of a library is rejected and nobody listens.
process.on("unhandledRejection", () => {});

function receive(message) {
  writeSync(received, `${String(message).split(" ", 1)[0]}\n`);
}

async function feed() {
  const [begun, done] = (readFileSync(sent, "latin1") || "0 0").trim().split(/\s+/).map(Number);
  let number = done;
  if (begun > done) {
    // The process was killed while it had this message in hand.
    writeSync(openSync(`${options.folder}/${role}.in_hand`, "a"), `${begun}\n`);
    number = begun;
  }
  while (sender === null) await sleep(5);
  const start = performance.now() - number * options.interval * 1000;
  while (number < options.count) {
    await sleep(Math.max(0, start + number * options.interval * 1000 - performance.now()));
    const send = sender;
    noteSent(number + 1, number);
    try {
      if (send === null) throw new Error("no link");
      await send(`${number + 1} ${"x".repeat(100)}`);
    } catch {
      await sleep(20);
      continue;
    }
    number += 1;
    noteSent(number, number);
  }
  console.log("sent");
}

function noteSent(begun, done) {
  writeSync(sent, `${String(begun).padStart(19)} ${String(done).padStart(19)}\n`, 0);
}

async function untilAcknowledged(emit) {
  for (;;) {
    try {
      const answers = await emit();
      if (!Array.isArray(answers) || answers.length > 0) return;
    } catch {
      // no answer in time
    }
    await sleep(20);
  }
}

const clients = {
  "socket.io"() {
    const { io } = require("socket.io-client");
    const often = { reconnectionDelay: 200, reconnectionDelayMax: 1000, timeout: 2000, transports: ["websocket"] };
    const socket = io(httpUrl, often);
    socket.on("m", receive);
    sender = (message) => socket.emit("m", message);
  },
  "socket.io acknowledged"() {
    const { io } = require("socket.io-client");
    const often = { reconnectionDelay: 200, reconnectionDelayMax: 1000, timeout: 2000, transports: ["websocket"] };
    const socket = io(httpUrl, { ...often, ackTimeout: 1000, retries: 1e9 });
    socket.on("m", (message, acknowledge) => {
      receive(message);
      acknowledge();
    });
    sender = (message) => socket.emit("m", message);
  },
  async signalr() {
    const signalr = require("@microsoft/signalr");
    const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
    const connection = new signalr.HubConnectionBuilder()
      .withUrl(`${httpUrl}hub`, { transport: signalr.HttpTransportType.WebSockets })
      .withHubProtocol(new MessagePackHubProtocol()) // in JSON that server's frames are binary: refused
      .withStatefulReconnect()
      .withAutomaticReconnect({
        nextRetryDelayInMilliseconds: (context) => Math.min(1000, 100 * 2 ** context.previousRetryCount),
      })
      .configureLogging(signalr.LogLevel.None)
      .build();
    connection.keepAliveIntervalInMilliseconds = 1000;
    connection.serverTimeoutInMilliseconds = 4000;
    connection.on("m", receive);
    for (;;) {
      try {
        await connection.start();
        break;
      } catch {
        await sleep(200);
      }
    }
    sender = (message) => connection.send("m", message);
  },
  "reconnecting-websocket"() {
    const ReconnectingWebSocket = require("reconnecting-websocket");
    const often = { minReconnectionDelay: 100, maxReconnectionDelay: 1000, connectionTimeout: 2000 };
    // It closes sockets that it does not listen to any more; only in Node does their error end the program.
    class Guarded extends require("ws") {
      constructor(...rest) {
        super(...rest);
        this.on("error", () => {});
      }
    }
    const socket = new ReconnectingWebSocket(options.url, [], { ...often, WebSocket: Guarded });
    socket.onmessage = (event) => receive(event.data);
    sender = (message) => socket.send(message);
  },
};

function socketIoServer(isAcknowledged) {
  const { Server } = require("socket.io");
  const http = createServer();
  const io = new Server(http, {
    pingInterval: 1000,
    pingTimeout: 1000,
    connectionStateRecovery: { maxDisconnectionDuration: 120000 },
  });
  io.on("connection", (socket) => {
    // What is sent to a room is kept for members that are away.
    if (!socket.recovered) socket.join("user");
    socket.on("m", (message, acknowledge) => {
      receive(message);
      if (acknowledge) acknowledge();
    });
    sender = isAcknowledged
      ? (message) => untilAcknowledged(() => io.to("user").timeout(1000).emitWithAck("m", message))
      : (message) => io.to("user").emit("m", message);
  });
  http.listen(0, "127.0.0.1", () => console.log(http.address().port));
}

if (role === "client") await clients[name]();
else socketIoServer(name === "socket.io acknowledged");
process.stdin.on("end", () => process.exit(0)).resume();
await feed();
