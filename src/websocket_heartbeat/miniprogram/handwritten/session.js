// What the option `session` takes: WebsocketHeartbeatSession("prefer").
function WebsocketHeartbeatSession(mode, options) {
    return new Session(mode, options);
}
