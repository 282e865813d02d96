// What the option `session` takes: WebsocketHeartbeatSession("prefer").
function WebsocketHeartbeatSession(mode, options) {
    return new Session(mode, options);
}

// Vue leaves it as it is: a proxy of it would hand out proxies of links and hosts, which are not the same objects.
Object.defineProperty(Session.prototype, "__v_skip", { value: true });
