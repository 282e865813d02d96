// What only a page has, as language.py declares it.
/** Add a listener to a part of a page, or remove it, where there is such a part. */
function listen(target, name, listener, is_on) {
    if (target && target.addEventListener) {
        target[is_on ? "addEventListener" : "removeEventListener"](name, listener);
    }
}

/** A new WebSocket of a page. */
function web_socket(page, url, protocols) {
    return protocols ? new page.WebSocket(url, protocols) : new page.WebSocket(url);
}

/** A CloseEvent of a page, for an end that the page itself does not tell of. */
function close_event(page, code, reason) {
    var about = { code: code, reason: reason, wasClean: code !== 1006 };
    if (typeof page.CloseEvent === "function") {
        return new page.CloseEvent("close", about);
    }
    about.type = "close";
    return about;
}

/** The MessageEvent of a page, with other data. */
function message_event(page, event, data) {
    if (typeof page.MessageEvent === "function") {
        return new page.MessageEvent("message", {
            data: data, origin: event.origin, lastEventId: event.lastEventId, source: event.source, ports: event.ports
        });
    }
    return { type: "message", data: data };
}
