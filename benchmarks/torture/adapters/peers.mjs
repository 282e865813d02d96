// The user of the clients in JavaScript: does what user.py does, for the three that run in Node over `ws`.
import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, name, text] = process.argv.slice(2);
const require = createRequire(folder + "/");
const options = JSON.parse(text);
const now = () => Number(process.hrtime.bigint()) / 1e9;
const tell = (event, facts) => writeSync(1, JSON.stringify({ event, at: now(), ...facts }) + "\n");

const wall = Date.now.bind(Date);
let offset = 0;
Date.now = () => wall() + offset;

const block = (seconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
process.on("uncaughtException", (error) => tell("log", { level: "CRASH", why: String(error) }));

globalThis.WebSocket = require("ws");
let links = 0;
let received = 0;
const opened = () => {
  tell("open", { link: ++links });
  if (errands.length && name === "websocket-heartbeat-js") doErrands();
  if (options.login) setTimeout(() => socket.send("login"), options.login * 1000);
};
const closed = (event) => tell("lost", { why: `${event && event.code} ${event && event.reason}` });
const failed = (event) => {
  const why = String((event && (event.message || (event.error && event.error.message))) || "error");
  tell("failed", { why, facts: why });
};
const message = (event) => {
  const data = String(event.data);
  if (data === "heartbeat") return;
  received += 1;
  if (!data.startsWith("#")) tell("message", { text: data.slice(0, 40) });
  if (data === "raise") throw new Error("LookupError: a mistake of the user");
};

const make = () => {
  // Each as in a browser of its own: some draw their random numbers once, when they are loaded.
  for (const path of Object.keys(require.cache)) if (!path.includes("/ws/")) delete require.cache[path];
  if (name === "websocket-heartbeat-js") {
    const Original = require("websocket-heartbeat-js");
    const socket = new (Original.default || Original)({
      url: options.url,
      pingTimeout: options.interval * 1000,
      pongTimeout: options.timeout * 1000,
    });
    Object.assign(socket, { onopen: opened, onclose: closed, onerror: failed, onmessage: message });
    return socket;
  } else {
    const library = require(name === "partysocket" ? "partysocket/ws" : name);
    const Reconnecting = library.default || library;
    const socket = new Reconnecting(options.url, [], {
      WebSocket: globalThis.WebSocket,
      connectionTimeout: options.open_timeout * 1000,
    });
    socket.addEventListener("open", opened);
    socket.addEventListener("close", closed);
    socket.addEventListener("error", failed);
    socket.addEventListener("message", message);
    return socket;
  }
};
const errands = Array.from({ length: options.errands || 0 }, (_, number) => `errand ${number}`);
const doErrands = () => {
  try {
    errands.forEach((text) => socket.send(text));
  } catch (error) {
    failed(error);
  }
  socket.close();
};
const sockets = Array.from({ length: options.count || 1 }, make);
const socket = sockets[0];
// The two that have a queue take messages before they are open.
if (errands.length && name !== "websocket-heartbeat-js") doErrands();
tell("ready");

const orders = {
  block: ({ seconds }) => (tell("blocking"), block(seconds), tell("blocked")),
  upload: ({ size }) => socket.send("x".repeat(size)),
  flood: () => setInterval(() => socket.send("x".repeat(65536)), 1),
  send: (order) => socket.send(order.text),
  clock: ({ seconds }) => (offset = seconds * 1000),
  count: () => tell("count", { received, resident: process.memoryUsage().rss }),
  close: () => {
    const begun = now();
    const ended = () => tell("closed", { took: now() - begun });
    if (socket.addEventListener) socket.addEventListener("close", ended);
    else socket.onclose = ended;
    socket.close();
  },
};
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const order = JSON.parse(line);
  orders[order.do](order);
});
lines.on("close", () => process.exit(0));
