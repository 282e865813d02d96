// Types of what the option `session` takes, for mini programs and pages.

/** Where a process leaves its session to the next one: key and messages. No two connections may share it. */
export interface SnapshotPlace {
  /** Store the text before this returns; "" deletes what is stored. */
  save(text: string): void;
  /** What is stored; nothing or "" if there is none. */
  load(): string | null | undefined;
}

export interface SessionOptions {
  /** False where the host has no binary frames: bytes then travel as base64. Default true. */
  binary?: boolean;
  /** For programs that the host kills in the background, and pages that are loaded again. Default: none. */
  snapshot?: SnapshotPlace;
}

/** For the option `session`; several connections may share one without `snapshot`. */
export interface Session {
  readonly mode: "prefer" | "require";
}

/** "prefer": where the server has no sessions the connection goes on without; "require": that is an error. */
declare function WebsocketHeartbeatSession(mode: "prefer" | "require", options?: SessionOptions): Session;
export default WebsocketHeartbeatSession;
