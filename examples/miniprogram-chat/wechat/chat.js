// The connection, its state and all messages, and who wants to know of them. No page, no markup.
const WebsocketHeartbeat = require("./lib/websocket-heartbeat.js");

const chat = { task: null, state: "idle", retry: 0, messages: [] };
const watchers = [];
const waiting = [];

function changed() {
    watchers.forEach((watcher) => watcher(chat));
}

function said(who, text) {
    chat.messages = chat.messages.concat({ id: chat.messages.length, who, text });
    changed();
}

// host: wx here; my, tt, swan, qq, ks, jd, Taro or uni elsewhere. options: as WebsocketHeartbeat takes them.
function start(host, url, options) {
    return WebsocketHeartbeat({ miniprogram: host, connectSocketParams: { url }, ...options }).then((task) => {
        chat.task = task;
        task.onMessage = ({ data }) => {
            // The server's answers to heartbeats are messages, too.
            if (data !== task.opts.pingMsg) said("server", data);
        };
        task.onReconnect = ({ attempt }) => {
            chat.retry = attempt;
            changed();
        };
        task.onState = (state) => {
            chat.state = state;
            changed();
        };
        waiting.splice(0).forEach(say);
    });
}

// Without a link it waits in the queue of the library, and goes out with the next link.
function say(text) {
    if (!chat.task) {
        waiting.push(text);
        return;
    }
    said("me", text);
    chat.task.send({ data: text, fail: () => said("me", "could not be sent: " + text) });
}

// Calls watcher with the chat now and after every change, until the function that it returns is called.
function watch(watcher) {
    watchers.push(watcher);
    watcher(chat);
    return () => watchers.splice(watchers.indexOf(watcher), 1);
}

module.exports = { start, say, watch, reconnect: () => chat.task && chat.task.reconnect() };
