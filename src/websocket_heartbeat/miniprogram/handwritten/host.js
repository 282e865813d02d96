// The host of a mini program, as language.py declares it, or a page in its place.
/**
 * The host that is given. Where that has no sockets, and this is a page, the page: h5 builds of Taro and uni-app leave
 * in Taro and uni only the functions that the program itself names, and a program that gives us the whole names none.
 */
function host_of(given) {
    var page = typeof self !== "undefined" ? self : {};
    var is_emptied = given && typeof given === "object" && given.connectSocket === undefined;
    return is_emptied && page.WebSocket && page.document ? page_host(page) : given;
}

/** A page with the functions of a host, for one connection. */
function page_host(page) {
    var host = {
        connectSocket: function (params) {
            return socket_task(new page.WebSocket(params.url, params.protocols || []));
        }
    };
    function wire(name, target, types, event_of) {
        var heard;
        function each(method) {
            types.forEach(function (type) {
                target[method](type, heard);
            });
        }
        host["on" + name] = function (listener) {
            heard = function (event) {
                var told = event_of(event);
                if (told) {
                    listener(told);
                }
            };
            each("addEventListener");
        };
        host["off" + name] = function () {
            each("removeEventListener");
        };
    }
    wire("AppShow", page.document, ["visibilitychange"], function (event) {
        return page.document.hidden ? null : event;
    });
    wire("AppHide", page.document, ["visibilitychange"], function (event) {
        return page.document.hidden ? event : null;
    });
    wire("NetworkStatusChange", page, ["online", "offline"], function (event) {
        return { isConnected: event.type === "online" };
    });
    return host;
}

/** A WebSocket that has the methods of a socket task in place of its own. */
function socket_task(socket) {
    var send = socket.send, close = socket.close;
    socket.binaryType = "arraybuffer";
    socket.send = function (message) {
        if (socket.readyState !== 1) {
            // It would drop the message without a word.
            throw new Error("not open");
        }
        send.call(socket, message.data);
        answer(message, "success", "send:ok");
    };
    socket.close = function (given) {
        close.call(socket, given && given.code || 1000, given && given.reason || "");
        answer(given, "success", "close:ok");
    };
    ["Open", "Message", "Close", "Error"].forEach(function (name) {
        socket["on" + name] = function (listener) {
            socket.addEventListener(name.toLowerCase(), listener);
        };
        socket["off" + name] = function (listener) {
            socket.removeEventListener(name.toLowerCase(), listener);
        };
    });
    return socket;
}
