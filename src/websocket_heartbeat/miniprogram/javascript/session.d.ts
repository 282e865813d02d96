// Types of what the option `session` takes, for mini programs and pages.

export interface SessionOptions {
  /** False where the host has no binary frames: bytes then travel as base64. Default true. */
  binary?: boolean;
}

/** For the option `session`; several connections may share it. */
export interface Session {
  readonly mode: "prefer" | "require";
}

/** "prefer": where the server has no sessions the connection goes on without; "require": that is an error. */
declare function WebsocketHeartbeatSession(mode: "prefer" | "require", options?: SessionOptions): Session;
export default WebsocketHeartbeatSession;
