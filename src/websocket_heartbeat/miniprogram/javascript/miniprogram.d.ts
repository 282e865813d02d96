// Types of WebsocketHeartbeat, for mini programs. They describe what is used of a host, so that wx, my, swan, tt,
// qq, ks, jd, Taro and uni all fit without their own types.

/** A value, a promise of one, or a function of either, which is called for every attempt. */
export type Asked<T> = T | PromiseLike<T> | (() => T | PromiseLike<T>);

/** What can be sent. Hosts take an ArrayBuffer; of a view they get the bytes as one. */
export type Data = string | ArrayBuffer | ArrayBufferView;

/** What `send` of the host takes, and `success`, `fail`, `complete` as everywhere in mini programs. */
export interface SendParams {
  data: Data;
  /** With the option `session`: sent now or never, and at most once. */
  volatile?: boolean;
  success?: (result?: any) => void;
  fail?: (error?: any) => void;
  complete?: (result?: any) => void;
}

export interface CloseParams {
  /** 1000 (default) or 3000 to 4999. */
  code?: number;
  reason?: string;
  success?: (result?: any) => void;
  fail?: (error?: any) => void;
  complete?: (result?: any) => void;
}

/** Passed on to the host's connectSocket. */
export interface ConnectSocketParams {
  url: Asked<string>;
  header?: Record<string, unknown>;
  protocols?: string[];
  [option: string]: unknown;
}

/** The host: wx, my, swan, tt, qq, ks, jd, Taro or uni; or an object with those of its functions that it has. */
export interface MiniProgramHost {
  connectSocket(params: any): any;
  onAppShow?(listener: any): any;
  offAppShow?(listener: any): any;
  onAppHide?(listener: any): any;
  offAppHide?(listener: any): any;
  onNetworkStatusChange?(listener: any): any;
  offNetworkStatusChange?(listener: any): any;
  // Of a host with a single socket.
  onSocketOpen?(listener: any): any;
  offSocketOpen?(listener: any): any;
  onSocketMessage?(listener: any): any;
  offSocketMessage?(listener: any): any;
  onSocketClose?(listener: any): any;
  offSocketClose?(listener: any): any;
  onSocketError?(listener: any): any;
  offSocketError?(listener: any): any;
  sendSocketMessage?(params: any): any;
  closeSocket?(params: any): any;
}

/** Times are milliseconds. */
export interface Options {
  miniprogram: MiniProgramHost;
  connectSocketParams: Asked<ConnectSocketParams>;
  /** Silence until a heartbeat is sent. Default 15000. */
  pingTimeout?: number;
  /** Silence after a heartbeat until the link is abandoned. Default 10000. */
  pongTimeout?: number;
  /** Whether a heartbeat is sent, too, when nothing was sent for pingTimeout, whatever is heard. Default false. */
  bothDirections?: boolean;
  /** The window of the first six retries. Default 2000. */
  reconnectTimeout?: number;
  /** The widest window, reached only after the sixth retry. Default 60000. */
  maxReconnectTimeout?: number;
  /** What is sent as a heartbeat. Default "heartbeat". */
  pingMsg?: Asked<Data>;
  /** The answer to a heartbeat, which is kept from the hooks: a text, or a function that returns true for one. */
  pong?: string | ((data: any) => boolean) | null;
  /**
   * Returns what answers a heartbeat of the server, or nothing if the message is none. It is sent at once, and the
   * hooks do not see the message. Without it `pong` answers a text equal to `pingMsg`.
   */
  reply?: ((data: any) => string | ArrayBuffer | ArrayBufferView | null | undefined) | null;
  /** Retries in a row before giving up; null, the default, never gives up; 0 never retries. */
  repeatLimit?: number | null;
  /** Close codes, and pairs of the first and the last of several, after which nothing reconnects. Default none. */
  finalCloseCodes?: (number | [number, number])[] | null;
  /** A text message of the server that means the same; the hooks do not see it. Default none. */
  dismissal?: string | null;
  /** For one attempt, with the time that the url takes. Default 10000. */
  openTimeout?: number;
  /** A link that was open for so long ends an outage: retries count from 0 again. Default 30000. */
  stableAfter?: number;
  /** Messages that wait while no link can take them; 0 fails at once. Default 256. */
  sendQueue?: number;
  /** Carries messages across links: Session("prefer") or Session("require") of websocket-heartbeat/session. Default "off". */
  session?: "off" | SessionPart;
}

/** What Session() of websocket-heartbeat/session returns. */
export interface SessionPart {
  readonly mode: "prefer" | "require";
}

export type State = "idle" | "connecting" | "open" | "probing" | "waiting" | "closing" | "closed" | "failed";

/** Events of a host have its own as `native`, and its fields beside the ones named here. */
export interface HostEvent {
  native?: any;
  [field: string]: any;
}
export interface OpenEvent extends HostEvent {
  /** How the session goes on: subscribe unless it is "resumed". Missing where the link has none. */
  session?: "new" | "resumed" | "reset";
  /** On a link of a session the subprotocol of yours that the server has selected; "" for none. */
  protocol?: string;
}
export interface MessageEvent extends HostEvent {
  /** In one shape on every host, also where the host nests it or encodes it as base64. */
  data: any;
}
export interface CloseEvent extends HostEvent {
  /** Missing where the host gives none. */
  code?: number | null;
  reason: string;
}
export interface ErrorEvent extends HostEvent {
  errMsg: string;
}
export interface ReconnectEvent {
  /** Which retry it will be, from 1. */
  attempt: number;
  /** Milliseconds until then. */
  delay: number;
  reason: string;
}
export interface GiveUpEvent {
  code?: number | null;
  reason: string;
}
export interface SessionEvent {
  /** "new"; "resumed": nothing is lost; "reset": the server has given the old one up, and a new one begins; "over". */
  kind: "new" | "resumed" | "reset" | "over";
  /** Of a reset and an end, in the server's words, which it may have from others. */
  why: string;
  /** Messages of yours that may have been handled or not, oldest first. They are not sent again. */
  uncertain: Data[];
  /** The number of your last message that is known to be handled. */
  done: number;
}

/** One connection over many links. Assign hooks; they hold for every link. */
export interface Task {
  /** While a promise that it returns is pending, what waits goes on waiting. If it rejects, the link is replaced. */
  onOpen: ((event: OpenEvent) => unknown) | null;
  onMessage: ((event: MessageEvent) => unknown) | null;
  /** For every link and every attempt that ends. */
  onClose: ((event: CloseEvent) => unknown) | null;
  onError: ((event: ErrorEvent) => unknown) | null;
  onReconnect: ((event: ReconnectEvent) => unknown) | null;
  onState: ((state: State) => unknown) | null;
  onGiveUp: ((event: GiveUpEvent) => unknown) | null;
  /** A session begins, goes on or ends. */
  onSession: ((event: SessionEvent) => unknown) | null;
  /** Sends, or lets it wait for a link that can take it; false if refused. */
  send(params: SendParams | Data): boolean;
  /**
   * Resolves when the server has handled all that was sent, and said so; without a session on the link, when nothing
   * waits for a link. Rejects when the connection ends before that. Throws if the option `session` is off.
   */
  flush(): Promise<void>;
  /** Closes for good; onClose is called. */
  close(params?: CloseParams): void;
  /** Opens a new link now, also after giving up, but not after close(), nor once the server has ended it for good. */
  reconnect(): void;
  /**
   * Replaces the open link without a gap: the next one opens, takes over once onOpen is done, and then the old one is
   * closed with 1000. If that fails, onError is told, and the old one goes on. On a single socket as reconnect().
   */
  renew(): void;
  /** Connects now, also after close() and a final end. The library calls it for every attempt. */
  createWebSocket(): void;
  /** Adds the library's listeners to `socketTask`. The library calls it for every socket task. */
  registerHeartBeatEvent(): void;
  /** heartReset() and heartStart(). The library calls it after every open and every message. */
  heartCheck(): void;
  /** Sends heartbeats, the first one after pingTimeout. */
  heartStart(): void;
  /** Stops heartbeats until heartStart(), the next message or the next link. */
  heartReset(): void;
  /** Closes at once and removes all listeners from the host. */
  destroy(): void;
  /** The host's own task of the current link. */
  readonly socketTask: any;
  /** The options, defaults included. A change holds from the next event on. */
  readonly opts: Required<Omit<Options, "session">> & Pick<Options, "session">;
  /** Retries since the connection was last stable. */
  readonly repeat: number;
  /** Whether `close` was called, or the server has ended it for good. Set it, and the link is the last: no retry follows when it is lost. */
  forbidReconnect: boolean;
  readonly state: State;
}

/** Connects; resolves with the task once there is a socket or the first attempt has failed. */
declare function WebsocketHeartbeat(options: Options): Promise<Task>;
export default WebsocketHeartbeat;
