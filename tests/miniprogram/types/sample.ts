// Right and wrong uses of the package, as users write them, beside the types of every platform.
/// <reference types="miniprogram-api-typings" />
/// <reference types="@mini-types/my" />
/// <reference types="@douyin-microapp/typings" />
import Taro from "@tarojs/taro";
import WebsocketHeartbeat, {
    CloseEvent as Closed, Options, ReconnectEvent, State, Task, WebsocketHeartbeatJs,
} from "websocket-heartbeat";
import Page from "websocket-heartbeat/browser";
import Session from "websocket-heartbeat/session";

declare const uni: { connectSocket(options: { url: string; complete: () => void }): unknown };

export async function programs(token: () => string): Promise<Task[]> {
    const connectSocketParams = { url: "wss://example.com/", header: { token: token() }, protocols: ["v1"] };
    return [
        await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams }),
        await WebsocketHeartbeat({ miniprogram: my, connectSocketParams: { ...connectSocketParams, multiple: true } }),
        await WebsocketHeartbeat({ miniprogram: tt, connectSocketParams }),
        await WebsocketHeartbeat({ miniprogram: Taro, connectSocketParams }),
        await WebsocketHeartbeat({ miniprogram: uni, connectSocketParams }),
        await WebsocketHeartbeat({
            miniprogram: {
                connectSocket: Taro.connectSocket,
                onAppShow: Taro.onAppShow,
                offAppShow: Taro.offAppShow,
                onAppHide: Taro.onAppHide,
                offAppHide: Taro.offAppHide,
                onNetworkStatusChange: Taro.onNetworkStatusChange,
                offNetworkStatusChange: Taro.offNetworkStatusChange,
            },
            connectSocketParams,
        }),
        await WebsocketHeartbeat({
            miniprogram: {
                connectSocket: my.connectSocket,
                onSocketOpen: my.onSocketOpen,
                offSocketOpen: my.offSocketOpen,
                onSocketMessage: my.onSocketMessage,
                offSocketMessage: my.offSocketMessage,
                onSocketClose: my.onSocketClose,
                offSocketClose: my.offSocketClose,
                onSocketError: my.onSocketError,
                offSocketError: my.offSocketError,
                sendSocketMessage: my.sendSocketMessage,
                closeSocket: my.closeSocket,
            },
            connectSocketParams,
        }),
        await WebsocketHeartbeat({
            miniprogram: wx,
            connectSocketParams: () => ({ url: () => "wss://example.com/?" + token() }),
            bothDirections: true,
            pingTimeout: 15000,
            pongTimeout: 10000,
            reconnectTimeout: 2000,
            maxReconnectTimeout: 60000,
            pingMsg: () => new ArrayBuffer(1),
            pong: (data) => data === "pong",
            reply: (data) => (data === "ping" ? "pong" : null),
            repeatLimit: null,
            finalCloseCodes: [4001, [4500, 4999]],
            dismissal: "dismissed",
            openTimeout: 10000,
            stableAfter: 30000,
            sendQueue: 0,
        }),
        await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams: { url: async () => token() } }),
        await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams: { url: Promise.resolve(token()) } }),
        await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams: async () => ({ url: token() }) }),
        await WebsocketHeartbeat({
            miniprogram: wx,
            connectSocketParams: Promise.resolve(connectSocketParams),
            pingMsg: async () => new Uint8Array([9]),
        }),
    ];
}

export function task(task: Task): string {
    task.onOpen = () => undefined;
    task.onOpen = async ({ native }) => {
        task.send("login" + native);
        await Promise.resolve();
    };
    task.onMessage = ({ data, native }) => console.log(data, native);
    task.onClose = (event: Closed) => console.log(event.code, event.reason);
    task.onError = ({ errMsg }) => console.log(errMsg.length);
    task.onReconnect = ({ attempt, delay, reason }: ReconnectEvent) => console.log(attempt + delay, reason);
    task.onState = (state: State) => console.log(state === "waiting");
    task.onGiveUp = null;
    const isAccepted: boolean = task.send({ data: "text", success: () => undefined, fail: (error) => error });
    task.send("text");
    task.send(new Uint8Array(1));
    task.send({ data: new DataView(new ArrayBuffer(1)) });
    task.createWebSocket();
    task.registerHeartBeatEvent();
    task.heartCheck();
    task.heartStart();
    task.heartReset();
    task.opts.pingTimeout = 5000;
    task.close();
    task.close({ code: 3000, reason: "leaving" });
    task.reconnect();
    task.renew();
    task.destroy();
    const limit: number | null = task.opts.repeatLimit;
    return `${task.state} ${task.repeat + 1} ${task.forbidReconnect === isAccepted} ${limit}`;
}

export function page(): boolean {
    const same: WebsocketHeartbeatJs = new Page({ url: "wss://example.com/" });
    const heartbeat = new WebsocketHeartbeatJs({ url: () => "wss://example.com/", protocols: ["v1"], pingMsg: "p", pong: "q" });
    new Page({ url: "wss://example.com/", pingMsg: () => new Uint8Array([9]) }).destroy();
    heartbeat.onopen = (event: Event) => console.log(event.type, same.state);
    heartbeat.onmessage = (event: MessageEvent) => console.log(event.data);
    heartbeat.onclose = ({ code, reason }) => console.log(code, reason);
    heartbeat.onclose = (event: CloseEvent) => console.log(event.wasClean, event.code);
    heartbeat.onerror = (event: Event) => console.log(event.type);
    heartbeat.onopen = async () => void heartbeat.send("login");
    new Page({ url: async () => new URL("wss://example.com/"), protocols: async () => ["v1"] }).createWebSocket();
    new Page({ url: Promise.resolve("wss://example.com/") }).initEventHandle();
    heartbeat.renew();
    heartbeat.heartCheck();
    heartbeat.heartStart();
    heartbeat.heartReset();
    heartbeat.opts.repeatLimit = null;
    heartbeat.opts.finalCloseCodes = [[4500, 4999]];
    heartbeat.opts.dismissal = null;
    heartbeat.onreconnect = ({ attempt }) => console.log(attempt);
    heartbeat.onstate = (state) => console.log(state === "open");
    heartbeat.close(1000, "leaving");
    const native: WebSocket = heartbeat.ws;
    native.binaryType = "arraybuffer";
    return heartbeat.send(new Uint8Array(1)) && heartbeat.send(new Blob([])) && native.readyState === 1;
}

export async function sessions(): Promise<void> {
    const session = Session("prefer", { binary: false });
    const task = await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams: { url: "wss://example.com/" }, session });
    task.onSession = ({ kind, why, uncertain, done }) => console.log(kind === "reset", why, uncertain.length, done + 1);
    task.onOpen = ({ session, protocol }) => console.log(session === "resumed", protocol);
    task.send({ data: "x", volatile: true });
    await task.flush();
    const page = new Page({ url: "wss://example.com/", session: Session("require") });
    page.onsession = ({ uncertain }) => uncertain.forEach((data) => page.send(data, { volatile: true }));
    page.onopen = ({ session, type }) => console.log(session === "reset", type);
    await page.flush();
    new Page({ url: "wss://example.com/", session: "off" });
    Session("prefer", { snapshot: { save: (text) => wx.setStorageSync("x", text), load: () => wx.getStorageSync("x") } });
    Session("prefer", { snapshot: { save: (text) => sessionStorage.setItem("x", text), load: () => sessionStorage.getItem("x") } });
}

export async function mistakes(): Promise<void> {
    const connectSocketParams = { url: "wss://example.com/" };
    // @ts-expect-error: the host itself, not its name
    const task = await WebsocketHeartbeat({ miniprogram: "wx", connectSocketParams });
    // @ts-expect-error: no function of a host is called that
    await WebsocketHeartbeat({ miniprogram: { connectSocket: wx.connectSocket, onAppShown: wx.onAppShow }, connectSocketParams });
    // @ts-expect-error: there is no host
    await WebsocketHeartbeat({ connectSocketParams });
    // @ts-expect-error: there is no url
    await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams: {} });
    // @ts-expect-error: a number of milliseconds, not a text
    await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams, pingTimeout: "15s" });
    // @ts-expect-error: a pair is the first code and the last
    await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams, finalCloseCodes: [[4500]] });
    // @ts-expect-error: no option is called that
    await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams, pingTimeOut: 15000 });
    // @ts-expect-error: it is a promise
    WebsocketHeartbeat({ miniprogram: wx, connectSocketParams }).onOpen = null;
    // @ts-expect-error: what is sent is a text or bytes
    task.send(3);
    // @ts-expect-error: a promise of an address, not of a number
    await WebsocketHeartbeat({ miniprogram: wx, connectSocketParams: { url: async () => 3 } });
    // @ts-expect-error: only the library counts
    task.repeat = 0;
    // @ts-expect-error: no state is called that
    task.onState = (state) => state === "lost";
    // @ts-expect-error: hooks of a mini program are in camel case
    task.onopen = () => undefined;
    // @ts-expect-error: it is a class
    WebsocketHeartbeatJs({ url: "wss://example.com/" });
    // @ts-expect-error: there is no url
    new WebsocketHeartbeatJs({});
    // @ts-expect-error: it has to be stored when `save` returns, so what `load` gives is no promise
    Session("prefer", { snapshot: { save: (text) => wx.setStorageSync("x", text), load: async () => "" } });
    // @ts-expect-error: the part of the package that has sessions is to be imported
    new WebsocketHeartbeatJs({ url: "wss://example.com/", session: "prefer" });
    // @ts-expect-error: no mode is called that
    Session("on");
    const options: Options = { miniprogram: my, connectSocketParams };
    // @ts-expect-error: a page has no host
    new WebsocketHeartbeatJs(options);
}
