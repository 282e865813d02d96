// A host like wx over real sockets: give it the WebSocket of ws.
"use strict";

module.exports = (WebSocket) => ({
    connectSocket(params) {
        const socket = new WebSocket(params.url);
        const answer = (given, result) => {
            given && given.success && given.success(result);
            given && given.complete && given.complete(result);
        };
        setTimeout(answer, 0, params, { errMsg: "connectSocket:ok" });
        return {
            send(given) {
                socket.send(given.data);
                answer(given, { errMsg: "sendSocketMessage:ok" });
            },
            close(given) {
                socket.close(given.code || 1000, given.reason);
                answer(given, { errMsg: "closeSocket:ok" });
            },
            onOpen: (listener) => { socket.onopen = () => listener({ header: {} }); },
            onMessage: (listener) => { socket.onmessage = ({ data }) => listener({ data }); },
            onClose: (listener) => { socket.onclose = ({ code, reason }) => listener({ code, reason }); },
            onError: (listener) => { socket.onerror = ({ message }) => listener({ errMsg: message }); },
        };
    },
});
