/**
 * Sessions: calls that belong together and reach one worker while it lives.
 */
import { Calls } from "./calls.js";
import type { Session__Output } from "./generated/bridge/v1/Session.js";
import type { CallOptions, SessionMode } from "./options.js";
import type { Transport } from "./transport.js";
import { Variables } from "./variables.js";
import { durationMs, enumName, toDuration, wire } from "./wire.js";

const service = wire["bridge.v1.SessionService"];

/** How to open a session. */
export interface SessionOptions extends CallOptions {
  /** Its id: 1 to 128 letters, digits, '.', '_', ':' or '-'; the server makes one where it is absent. */
  id?: string;
  /** What holds when its worker is lost: "hint" (default) goes on elsewhere, "strict" refuses further calls. */
  mode?: SessionMode;
  /** It ends after this many milliseconds without a call; else the server's default. */
  ttlMs?: number;
  /** Whether its calls run one after another, in the order in which they arrive. */
  ordered?: boolean;
}

/** A session as the server sees it. */
export interface SessionInfo {
  id: string;
  /** "hint" or "strict". */
  mode: string;
  /** Its worker in each pool that it has used. */
  workers: Record<string, string>;
  /** How often it has been moved to another worker. */
  epoch: number;
  openedAt: Date | undefined;
  ttlMs: number | undefined;
  calls: number;
  tenant: string;
  ordered: boolean;
  /** Calls that run or wait now. */
  running: number;
  /** How long it has been without a call. */
  idleMs: number | undefined;
  /** How many variables it has, and the bytes that they take. */
  variables: number;
  variableBytes: number;
  /** Why its calls are refused, "SESSION_LOST" or "SESSION_MOVED"; empty while they are not. */
  lost: string;
}

/** A bridge whose calls all belong to one session. */
export class Session extends Calls implements AsyncDisposable {
  /** The session's id. */
  readonly id: string;
  /** Values that all workers of the session share. */
  readonly variables: Variables;
  /** The session as it was when it was opened here; undefined for one that was joined. */
  readonly opened: SessionInfo | undefined;

  private constructor(transport: Transport, id: string, mode: SessionMode | undefined, opened?: SessionInfo) {
    super(transport.with(mode === undefined ? { session: id } : { session: id, sessionMode: mode }));
    this.id = id;
    this.opened = opened;
    this.variables = new Variables(this.transport, id);
  }

  /** Open a session on a transport. */
  static async open(transport: Transport, options: SessionOptions): Promise<Session> {
    const { mode = "hint" } = options;
    const request = {
      id: options.id ?? "",
      mode: mode === "strict" ? ("SESSION_MODE_STRICT" as const) : ("SESSION_MODE_HINT" as const),
      ordered: options.ordered ?? false,
      ...(options.ttlMs === undefined ? {} : { ttl: toDuration(options.ttlMs) }),
    };
    const { session } = await transport.unary(service.Open, request, options);
    const opened = toInfo(session as Session__Output);
    return new Session(transport, opened.id, mode, opened);
  }

  /** Return a view of a session that is open, or that its first call opens. */
  static join(transport: Transport, id: string, mode?: SessionMode): Session {
    return new Session(transport, id, mode);
  }

  /** Return the session as the server sees it. */
  async info(options: CallOptions = {}): Promise<SessionInfo> {
    return await getSession(this.transport, this.id, options);
  }

  /** End the session on the server. The connection stays open. */
  async close(options: CallOptions = {}): Promise<void> {
    await this.transport.unary(service.Close, { id: this.id }, options);
  }

  /** End the session; one that has ended by itself is no error. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== "NOT_FOUND") throw error;
    });
  }
}

/** Return a session by its id. */
export async function getSession(transport: Transport, id: string, options: CallOptions): Promise<SessionInfo> {
  const { session } = await transport.unary(service.Get, { id }, options);
  return toInfo(session as Session__Output);
}

/** Return one page of the open sessions, in the order in which they were opened. */
export async function sessionPage(transport: Transport, pageToken: string, options: CallOptions) {
  const page = await transport.unary(service.List, { pageSize: 1000, pageToken }, options);
  return { items: page.sessions.map(toInfo), nextPageToken: page.nextPageToken };
}

function toInfo(session: Session__Output): SessionInfo {
  return {
    id: session.id,
    mode: enumName(session.mode, "SESSION_MODE_"),
    workers: { ...session.workers },
    epoch: Number(session.epoch),
    openedAt: session.openedAt ? new Date(durationMs(session.openedAt)) : undefined,
    ttlMs: session.ttl ? durationMs(session.ttl) : undefined,
    calls: Number(session.calls),
    tenant: session.tenant,
    ordered: session.ordered,
    running: session.running,
    idleMs: session.idle ? durationMs(session.idle) : undefined,
    variables: session.variables,
    variableBytes: Number(session.variableBytes),
    lost: session.lost,
  };
}
