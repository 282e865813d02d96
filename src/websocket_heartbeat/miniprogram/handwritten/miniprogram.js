// The call of websocket-heartbeat-miniprogram: a function that returns a promise of the task.
function WebsocketHeartbeat(options) {
    return new Promise(function (resolve) {
        new MiniProgramTask(new Clock(), options).begin(resolve);
    });
}
