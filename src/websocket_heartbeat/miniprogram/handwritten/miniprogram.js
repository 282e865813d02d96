// The call of websocket-heartbeat-miniprogram: a function that returns a promise of the task.
function WebsocketHeartbeat(options) {
    return new Promise(function (resolve) {
        new MiniProgramTask(new Clock(), options).begin(resolve);
    });
}

// Vue leaves it as it is: a proxy of it would hand out proxies of links and hosts, which are not the same objects.
Object.defineProperty(MiniProgramTask.prototype, "__v_skip", { value: true });
