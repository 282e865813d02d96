// The constructor of websocket-heartbeat-js, and what only a page has.
function listen(target, name, listener, is_on) {
    if (target && target.addEventListener) {
        target[is_on ? "addEventListener" : "removeEventListener"](name, listener);
    }
}
function web_socket(page, url, protocols) {
    return protocols ? new page.WebSocket(url, protocols) : new page.WebSocket(url);
}
function WebsocketHeartbeatJs(options) {
    // A worker has no window, and neither has Node.
    var page = typeof self !== "undefined" ? self : typeof global !== "undefined" ? global : this;
    var task = new BrowserTask(clock, page, options);
    task.begin();
    return task;
}
WebsocketHeartbeatJs.prototype = BrowserTask.prototype;
