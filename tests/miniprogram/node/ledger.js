// What history.js does, for a page of a browser too: sends `count` messages as fast as send takes them, and takes as
// many. Once all is acknowledged it resolves with their numbers, `heard`, and with functions: `close` closes the
// connection, `isClosed` tells whether that is done.
"use strict";

function made(number) {
    const text = "m" + number + " " + "é".repeat(number % 50);
    return number % 7 ? text : new TextEncoder().encode(text);
}

function begin(kind, library, url, options, count, say, host) {
    return new Promise((resolve) => {
        const heard = [];
        let sent = 0;
        let task = null;
        let isEnding = false;
        const send = kind === "page" ? (data) => task.send(data) : (data) => task.send({ data });
        const more = () => {
            while (sent < count && send(made(sent))) sent += 1;
            if (sent < count) setTimeout(more, 5);
            else end();
        };
        const end = () => {
            if (isEnding || sent < count || heard.length < count) return;
            isEnding = true;
            task.flush().then(() => resolve({ heard, close, isClosed: () => task.state === "closed" }));
        };
        // Who closes between two links does not tell the server.
        const close = () => (task.state === "open" ? task.close() : setTimeout(close, 20));
        const take = ({ data }) => {
            const text = typeof data === "string" ? data : new TextDecoder().decode(data);
            const number = parseInt(text.slice(1), 10);
            if (text !== "m" + number + " " + "é".repeat(number % 50)) throw new Error("not as it was sent: " + text);
            if ((typeof data === "string") !== Boolean(number % 7)) throw new Error("not of the kind that was sent");
            heard.push(number);
            end();
        };
        const told = ({ kind, why, uncertain }) => say("session", kind, why, uncertain.length);
        if (kind === "page") {
            task = new library({ url, ...options });
            task.onmessage = take;
            task.onsession = told;
            more();
        } else {
            library({ miniprogram: host(), connectSocketParams: { url }, ...options }).then((made) => {
                task = made;
                task.onMessage = take;
                task.onSession = told;
                more();
            });
        }
    });
}

if (typeof module !== "undefined") module.exports = { begin };
