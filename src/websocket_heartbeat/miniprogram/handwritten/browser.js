// The constructor of websocket-heartbeat-js.
function WebsocketHeartbeatJs(options) {
    // A worker has no window, and neither has Node.
    var page = typeof self !== "undefined" ? self : typeof global !== "undefined" ? global : {};
    BrowserTask.call(this, new Clock(), page, options);
    this.begin(function () {});
}
WebsocketHeartbeatJs.prototype = Object.create(BrowserTask.prototype);
WebsocketHeartbeatJs.prototype.constructor = WebsocketHeartbeatJs;
