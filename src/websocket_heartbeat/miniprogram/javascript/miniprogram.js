// The call of websocket-heartbeat-miniprogram: a function that returns a promise of the task.
function WebsocketHeartbeat(options) {
    var this_task = {};
    CONNECTION;
    return new Promise(function (resolve) {
        miniProgramTask_init(options);
        miniProgramTask_begin(resolve);
    });
}
