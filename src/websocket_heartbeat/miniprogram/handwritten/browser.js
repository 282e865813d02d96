// The constructor of websocket-heartbeat-js.
function WebsocketHeartbeatJs(options) {
    // A worker has no window, and neither has Node.
    var page = typeof self !== "undefined" ? self : typeof global !== "undefined" ? global : {};
    BrowserTask.call(this, new Clock(), page, options);
    this.begin(function () {});
}
WebsocketHeartbeatJs.prototype = Object.create(BrowserTask.prototype);
WebsocketHeartbeatJs.prototype.constructor = WebsocketHeartbeatJs;

// Vue leaves it as it is: a proxy of it would hand out proxies of links and hosts, which are not the same objects.
Object.defineProperty(WebsocketHeartbeatJs.prototype, "__v_skip", { value: true });
