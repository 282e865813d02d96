// A host like wx over real sockets: give it the WebSocket of ws.
"use strict";

module.exports = (WebSocket) => ({
    connectSocket(params) {
        const listeners = {};
        let socket = null;
        let isClosed = false;
        const tell = (name, event) => listeners[name] && listeners[name](event);
        const answer = (given, name, errMsg) => {
            given && given[name] && given[name]({ errMsg });
            given && given.complete && given.complete({ errMsg });
        };
        const dial = () => {
            if (isClosed) return;
            let header = {};
            socket = new WebSocket(params.url, params.protocols || []);
            socket.on("upgrade", (response) => (header = response.headers));
            socket.binaryType = "arraybuffer";
            socket.onopen = () => tell("open", { header });
            socket.onmessage = ({ data }) => tell("message", { data });
            socket.onclose = ({ code, reason }) => tell("close", { code, reason });
            socket.onerror = ({ message }) => tell("error", { errMsg: message });
        };
        // First the call succeeds, as over a bridge; what becomes of the socket is said later.
        setImmediate(() => {
            answer(params, "success", "connectSocket:ok");
            setImmediate(dial);
        });
        return {
            send(given) {
                if (!socket || socket.readyState !== 1) return answer(given, "fail", "SocketTask.send:fail");
                socket.send(given.data);
                answer(given, "success", "sendSocketMessage:ok");
            },
            close(given) {
                isClosed = true;
                if (socket) socket.close(given.code || 1000, given.reason);
                answer(given, "success", "closeSocket:ok");
            },
            onOpen: (listener) => { listeners.open = listener; },
            onMessage: (listener) => { listeners.message = listener; },
            onClose: (listener) => { listeners.close = listener; },
            onError: (listener) => { listeners.error = listener; },
        };
    },
});
