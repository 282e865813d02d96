// Types of WebsocketHeartbeatJs, for pages and workers. They need no types of the DOM: where those are loaded, what a
// page has is of the page's own types.

/** A value, a promise of one, or a function of either, which is called for every attempt. */
export type BrowserAsked<T> = T | PromiseLike<T> | (() => T | PromiseLike<T>);

/** An object of a global class; where the class is not known, what is used of it. */
type Global<Name extends string, Otherwise> = typeof globalThis extends { [Each in Name]: { prototype: infer T } }
  ? T
  : Otherwise;

type PageEvent = Global<"Event", { readonly type: string }>;
type PageMessageEvent = Global<"MessageEvent", { readonly type: string; readonly data: any }>;
type PageCloseEvent = Global<
  "CloseEvent",
  { readonly type: string; readonly code: number; readonly reason: string; readonly wasClean: boolean }
>;
type PageSocket = Global<
  "WebSocket",
  { binaryType: string; readonly readyState: number; send(data: any): void; close(code?: number, reason?: string): void }
>;

/** What a WebSocket of a page takes. */
export type BrowserData = string | ArrayBuffer | ArrayBufferView | Global<"Blob", never>;

/** Times are milliseconds. */
export interface BrowserOptions {
  /** ws:// or wss://. */
  url: BrowserAsked<string | Global<"URL", never>>;
  protocols?: BrowserAsked<string | string[]>;
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
  pingMsg?: BrowserAsked<BrowserData>;
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
  session?: "off" | BrowserSessionPart;
}

/** What Session() of websocket-heartbeat/session returns. */
export interface BrowserSessionPart {
  readonly mode: "prefer" | "require";
}

export interface BrowserSessionEvent {
  /** "new"; "resumed": nothing is lost; "reset": the server has given the old one up, and a new one begins; "over". */
  kind: "new" | "resumed" | "reset" | "over";
  /** Of a reset and an end, in the server's words, which it may have from others. */
  why: string;
  /** Messages of yours that may have been handled or not, oldest first. They are not sent again. */
  uncertain: BrowserData[];
  /** The number of your last message that is known to be handled. */
  done: number;
}

/** What onopen gets on a link of a session besides: how it goes on, and the subprotocol of yours that was selected. */
export interface BrowserSessionOpen {
  session?: "new" | "resumed" | "reset";
  protocol?: string;
}

export type BrowserState =
  "idle" | "connecting" | "open" | "probing" | "waiting" | "closing" | "closed" | "failed";

/** One connection over many links. Assign hooks; they hold for every link. */
declare class WebsocketHeartbeatJs {
  constructor(options: BrowserOptions);
  /** While a promise that it returns is pending, what waits goes on waiting. If it rejects, the link is replaced. */
  onopen: ((event: PageEvent & BrowserSessionOpen) => unknown) | null;
  onmessage: ((event: PageMessageEvent) => unknown) | null;
  /** For every link and every attempt that ends; code 1006 where no close frame came. */
  onclose: ((event: PageCloseEvent) => unknown) | null;
  onerror: ((event: any) => unknown) | null;
  onreconnect: ((event: { attempt: number; delay: number; reason: string }) => unknown) | null;
  onstate: ((state: BrowserState) => unknown) | null;
  ongiveup: ((event: { code?: number | null; reason: string }) => unknown) | null;
  /** A session begins, goes on or ends. */
  onsession: ((event: BrowserSessionEvent) => unknown) | null;
  /**
   * Sends, or lets it wait for a link that can take it; false if refused. `volatile`, with the option `session`: sent
   * now or never, and at most once.
   */
  send(data: BrowserData, options?: { volatile?: boolean }): boolean;
  /**
   * Resolves when the server has handled all that was sent, and said so; without a session on the link, when nothing
   * waits for a link. Rejects when the connection ends before that. Throws if the option `session` is off.
   */
  flush(): Promise<void>;
  /** Closes for good; onclose is called. */
  close(code?: number, reason?: string): void;
  /** Opens a new link now, also after giving up, but not after close(), nor once the server has ended it for good. */
  reconnect(): void;
  /**
   * Replaces the open link without a gap: the next one opens, takes over once onopen is done, and then the old one is
   * closed with 1000. If that fails, onerror is told, and the old one goes on.
   */
  renew(): void;
  /** Connects now, also after close() and a final end. The library calls it for every attempt. */
  createWebSocket(): void;
  /** Adds the library's handlers to `ws`. The library calls it for every WebSocket. */
  initEventHandle(): void;
  /** heartReset() and heartStart(). The library calls it after every open and every message. */
  heartCheck(): void;
  /** Sends heartbeats, the first one after pingTimeout. */
  heartStart(): void;
  /** Stops heartbeats until heartStart(), the next message or the next link. */
  heartReset(): void;
  /** Closes at once and removes all listeners from the page. */
  destroy(): void;
  /** The WebSocket of the current link; null until a `url` that is a promise or a function of one has come. Its binaryType holds for the next ones, too. */
  readonly ws: PageSocket;
  /** The options, defaults included. A change holds from the next event on. */
  readonly opts: Required<Omit<BrowserOptions, "session">> & Pick<BrowserOptions, "session">;
  /** Retries since the connection was last stable. */
  readonly repeat: number;
  /** Whether `close` was called, or the server has ended it for good. Set it, and the link is the last: no retry follows when it is lost. */
  forbidReconnect: boolean;
  readonly state: BrowserState;
}
export default WebsocketHeartbeatJs;
