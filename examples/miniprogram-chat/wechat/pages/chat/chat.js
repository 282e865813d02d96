// Shows the chat and the connection's state.
const chat = require("../../chat.js");

const WORDS = {
    idle: "starting",
    connecting: "connecting",
    open: "connected",
    probing: "connected, checking",
    waiting: "disconnected, waiting for retry",
    closing: "closing",
    closed: "closed",
    failed: "gave up",
};

Page({
    data: { words: WORDS.idle, isOpen: false, canRetry: false, messages: [], text: "", last: "" },

    onLoad() {
        this.unwatch = chat.watch(({ state, retry, messages }) => {
            this.setData({
                words: WORDS[state] + (state === "waiting" ? ` ${retry}` : ""),
                isOpen: state === "open" || state === "probing",
                canRetry: state === "waiting" || state === "failed" || state === "closed",
                messages,
                last: messages.length ? `m${messages.length - 1}` : "",
            });
        });
    },

    onUnload() {
        this.unwatch();
    },

    typed(event) {
        this.setData({ text: event.detail.value });
    },

    send() {
        if (this.data.text) chat.say(this.data.text);
        this.setData({ text: "" });
    },

    retry() {
        chat.reconnect();
    },
});
