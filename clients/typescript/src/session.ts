/**
 * Sessions: calls that belong together and reach one worker while it lives.
 */
import { Calls } from "./calls.js";
import type { Session__Output } from "./generated/bridge/v1/Session.js";
import type { CallOptions, Transport } from "./transport.js";
import { durationMs, enumName, toDuration, wire } from "./wire.js";

const service = wire["bridge.v1.SessionService"];

/** How to open a session. */
export interface SessionOptions extends CallOptions {
  /** Its id: 1 to 128 letters, digits, '.', '_', ':' or '-'; the server makes one where it is absent. */
  id?: string;
  /** It ends after this many milliseconds without a call; else the server's default. */
  ttlMs?: number;
}

/** A session as the server sees it. */
export interface SessionInfo {
  id: string;
  mode: string;
  /** Its worker in each pool that it has used. */
  workers: Record<string, string>;
  /** How often it has been moved to another worker. */
  epoch: number;
  openedAt: Date | undefined;
  ttlMs: number | undefined;
  calls: number;
}

/** A bridge whose calls all belong to one session. */
export class Session extends Calls {
  /** The session's id. */
  readonly id: string;

  private constructor(transport: Transport, id: string) {
    super(transport.inSession(id));
    this.id = id;
  }

  /** Open a session on a transport. */
  static async open(transport: Transport, options: SessionOptions): Promise<Session> {
    const request = {
      id: options.id ?? "",
      mode: "SESSION_MODE_HINT" as const,
      ...(options.ttlMs === undefined ? {} : { ttl: toDuration(options.ttlMs) }),
    };
    const { session } = await transport.unary(service.Open, request, options);
    return new Session(transport, (session as Session__Output).id);
  }

  /** Return the session as the server sees it. */
  async info(options: CallOptions = {}): Promise<SessionInfo> {
    const reply = await this.transport.unary(service.Get, { id: this.id }, options);
    const session = reply.session as Session__Output;
    return {
      id: session.id,
      mode: enumName(session.mode, "SESSION_MODE_"),
      workers: { ...session.workers },
      epoch: Number(session.epoch),
      openedAt: session.openedAt ? new Date(durationMs(session.openedAt)) : undefined,
      ttlMs: session.ttl ? durationMs(session.ttl) : undefined,
      calls: Number(session.calls),
    };
  }

  /** End the session on the server. The connection stays open. */
  async close(options: CallOptions = {}): Promise<void> {
    await this.transport.unary(service.Close, { id: this.id }, options);
  }
}
