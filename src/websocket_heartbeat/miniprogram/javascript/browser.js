// The constructor of websocket-heartbeat-js, and what only a page has.
function WebsocketHeartbeatJs(options) {
    var this_task = this;
    CONNECTION;
    // A worker has no window, and neither has Node.
    browserTask_init(typeof self !== "undefined" ? self : typeof global !== "undefined" ? global : {}, options);
    browserTask_begin(Object);
}
