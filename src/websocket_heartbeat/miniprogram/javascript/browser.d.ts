// Types of WebsocketHeartbeatJs, for pages.

/** What a WebSocket of a page takes. */
export type BrowserData = string | ArrayBuffer | ArrayBufferView | Blob;

/** Times are milliseconds. */
export interface BrowserOptions {
  /** ws:// or wss://; a function is called for every attempt. */
  url: string | URL | (() => string | URL);
  protocols?: string | string[];
  /** Silence until a heartbeat is sent. Default 15000. */
  pingTimeout?: number;
  /** Silence after a heartbeat until the link is abandoned. Default 10000. */
  pongTimeout?: number;
  /** The window of the first six retries. Default 2000. */
  reconnectTimeout?: number;
  /** The widest window, reached only after the sixth retry. Default 60000. */
  maxReconnectTimeout?: number;
  /** What is sent as a heartbeat. Default "heartbeat". */
  pingMsg?: BrowserData | (() => BrowserData);
  /** Retries in a row before giving up; null, the default, never gives up; 0 never retries. */
  repeatLimit?: number | null;
  /** For one attempt. Default 10000. */
  openTimeout?: number;
  /** A link that was open for so long ends an outage: retries count from 0 again. Default 30000. */
  stableAfter?: number;
  /** Messages that wait while no link is open; 0 fails at once. Default 256. */
  sendQueue?: number;
}

export type BrowserState =
  "idle" | "connecting" | "open" | "probing" | "waiting" | "closing" | "closed" | "failed";

/** One connection over many links. Assign hooks; they hold for every link. */
declare class WebsocketHeartbeatJs {
  constructor(options: BrowserOptions);
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  /** The page's CloseEvent where it sent one; otherwise only a reason, and no code. */
  onclose: ((event: { code?: number | null; reason: string }) => void) | null;
  onerror: ((event: any) => void) | null;
  onreconnect: ((event: { attempt: number; delay: number; reason: string }) => void) | null;
  onstate: ((state: BrowserState) => void) | null;
  ongiveup: ((event: { code?: number | null; reason: string }) => void) | null;
  /** Sends, or queues while no link is open; false if refused. */
  send(data: BrowserData): boolean;
  /** Closes for good. */
  close(code?: number, reason?: string): void;
  /** Opens a new link now, also after closing or giving up. */
  reconnect(): void;
  /** Closes at once and removes all listeners from the page. */
  destroy(): void;
  /** The WebSocket of the current link. */
  readonly ws: WebSocket | null;
  /** The options, defaults included. */
  readonly opts: Required<BrowserOptions>;
  /** Retries since the connection was last stable. */
  readonly repeat: number;
  /** Whether `close` was called. Set it, and the link is the last: no retry follows when it is lost. */
  forbidReconnect: boolean;
  readonly state: BrowserState;
}
export default WebsocketHeartbeatJs;
