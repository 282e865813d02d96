// Types of WebsocketHeartbeat, for mini programs. They describe what is used of a host, so that wx, my, swan, tt,
// qq, ks, jd, Taro and uni all fit without their own types.

/** What `send` of the host takes, and `success`, `fail`, `complete` as everywhere in mini programs. */
export interface SendParams {
  data: string | ArrayBuffer;
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

/** Passed on to the host's connectSocket; `url` may be a function, called for every attempt. */
export interface ConnectSocketParams {
  url: string | (() => string);
  header?: Record<string, unknown>;
  protocols?: string[];
  [option: string]: unknown;
}

/** The host: wx, my, swan, tt, qq, ks, jd, Taro or uni. */
export interface MiniProgramHost {
  connectSocket(params: any): any;
}

/** Times are milliseconds. */
export interface Options {
  miniprogram: MiniProgramHost;
  connectSocketParams: ConnectSocketParams | (() => ConnectSocketParams);
  /** Silence until a heartbeat is sent. Default 15000. */
  pingTimeout?: number;
  /** Silence after a heartbeat until the link is abandoned. Default 10000. */
  pongTimeout?: number;
  /** The window of the first six retries. Default 2000. */
  reconnectTimeout?: number;
  /** The widest window, reached only after the sixth retry. Default 60000. */
  maxReconnectTimeout?: number;
  /** What is sent as a heartbeat. Default "heartbeat". */
  pingMsg?: string | ArrayBuffer | (() => string | ArrayBuffer);
  /** Retries in a row before giving up; null, the default, never gives up; 0 never retries. */
  repeatLimit?: number | null;
  /** For one attempt. Default 10000. */
  openTimeout?: number;
  /** A link that was open for so long ends an outage: retries count from 0 again. Default 30000. */
  stableAfter?: number;
  /** Messages that wait while no link is open; 0 fails at once. Default 256. */
  sendQueue?: number;
}

export type State = "idle" | "connecting" | "open" | "probing" | "waiting" | "closing" | "closed" | "failed";

/** Events of a host have its own as `native`, and its fields beside the ones named here. */
export interface HostEvent {
  native?: any;
  [field: string]: any;
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

/** One connection over many links. Assign hooks; they hold for every link. */
export interface Task {
  onOpen: ((event: HostEvent) => void) | null;
  onMessage: ((event: MessageEvent) => void) | null;
  onClose: ((event: CloseEvent) => void) | null;
  onError: ((event: ErrorEvent) => void) | null;
  onReconnect: ((event: ReconnectEvent) => void) | null;
  onState: ((state: State) => void) | null;
  onGiveUp: ((event: GiveUpEvent) => void) | null;
  /** Sends, or queues while no link is open; false if refused. */
  send(params: SendParams): boolean;
  /** Closes for good. */
  close(params?: CloseParams): void;
  /** Opens a new link now, also after closing or giving up. */
  reconnect(): void;
  /** Closes at once and removes all listeners from the host. */
  destroy(): void;
  /** The host's own task of the current link. */
  readonly socketTask: any;
  /** The options, defaults included. */
  readonly opts: Required<Options>;
  /** Retries since the connection was last stable. */
  readonly repeat: number;
  /** Whether `close` was called. Set it, and the link is the last: no retry follows when it is lost. */
  forbidReconnect: boolean;
  readonly state: State;
}

/** Connects; resolves with the task once there is a socket or the first attempt has failed. */
declare function WebsocketHeartbeat(options: Options): Promise<Task>;
export default WebsocketHeartbeat;
