/**
 * The entrance: `connect` gives a Bridge, which makes calls and looks at the server.
 */
import { Calls } from "./calls.js";
import type { FunctionInfo__Output } from "./generated/bridge/v1/FunctionInfo.js";
import { parseJson } from "./json.js";
import { allPages } from "./pages.js";
import type { CallOptions, ConnectOptions, SessionMode } from "./options.js";
import { getPool, listPools, type PoolInfo } from "./pools.js";
import { getSession, Session, type SessionInfo, type SessionOptions, sessionPage } from "./session.js";
import { Transport } from "./transport.js";
import { enumName, wire } from "./wire.js";

const invoke = wire["bridge.v1.InvokeService"];
const toolService = wire["bridge.v1.ToolService"];
const healthService = wire["grpc.health.v1.Health"];

/** A function in a list. */
export interface FunctionSummary {
  name: string;
  /** "function", "program" or "builtin". */
  kind: string;
  doc: string;
  pool: string;
  /** Where it may run: "native", "pooled" or "auto". */
  placement: string;
  streaming: boolean;
  idempotent: boolean;
  /** Whether it is declared to depend on its arguments alone and to change nothing. */
  pure: boolean;
  /** Whether it is declared to be safe where several threads run it at the same time. */
  threadSafe: boolean;
  /** The module of the app that it came from; empty where it came from none. */
  module: string;
}

/** A function with the JSON Schemas of its arguments and result and arguments to start from. */
export interface FunctionDescription extends FunctionSummary {
  argumentsSchema: unknown;
  resultSchema: unknown;
  example: unknown;
}

/** Options of a list of functions. */
export interface FunctionsOptions extends CallOptions {
  /** Only names that start with this. */
  prefix?: string;
}

/** A tool that a client hosts. */
export interface ToolInfo {
  name: string;
  description: string;
  /** JSON Schema of its arguments; null for a tool without. */
  argumentsSchema: unknown;
  registration: string;
  /** Whether its host is connected. */
  connected: boolean;
  /** Calls that are open, those that wait included. */
  openCalls: number;
}

/** A connection to a bridge server. It may be shared by the whole program. */
export class Bridge extends Calls implements AsyncDisposable {
  private constructor(transport: Transport) {
    super(transport);
  }

  /** Make a bridge; see `connect`. */
  static connect(address: string, options: ConnectOptions): Bridge {
    return new Bridge(Transport.connect(address, options));
  }

  /** Open a session: a view of this bridge whose calls reach one worker while it lives. */
  async session(options: SessionOptions = {}): Promise<Session> {
    return await Session.open(this.transport, options);
  }

  /** Return the open sessions: those of the caller's tenant, or all where it names none. */
  async sessions(options: CallOptions = {}): Promise<SessionInfo[]> {
    return await allPages((pageToken) => sessionPage(this.transport, pageToken, options));
  }

  /** Return a session by its id. */
  async getSession(id: string, options: CallOptions = {}): Promise<SessionInfo> {
    return await getSession(this.transport, id, options);
  }

  /** Return a view of an open session, whoever has opened it. */
  joinSession(id: string, mode?: SessionMode): Session {
    return Session.join(this.transport, id, mode);
  }

  /** Return the tools that this caller may name, those of one registration where it is given. */
  async tools(options: CallOptions & { registration?: string } = {}): Promise<ToolInfo[]> {
    const request = { registration: options.registration ?? "" };
    const { tools } = await this.transport.unary(toolService.ListTools, request, options);
    return tools.map(({ tool, registration, connected, openCalls }) => ({
      name: tool?.name ?? "",
      description: tool?.description ?? "",
      argumentsSchema: parseJson(tool?.argumentsSchema || "null"),
      registration,
      connected,
      openCalls,
    }));
  }

  /** Return all functions, in the order of names. */
  async functions(options: FunctionsOptions = {}): Promise<FunctionSummary[]> {
    const { prefix = "" } = options;
    return await allPages(async (pageToken) => {
      const page = await this.transport.unary(invoke.ListFunctions, { prefix, pageSize: 1000, pageToken }, options);
      return { items: page.functions.map(toSummary), nextPageToken: page.nextPageToken };
    });
  }

  /** Return a function with its schemas and an example. */
  async describe(name: string, options: CallOptions = {}): Promise<FunctionDescription> {
    const reply = await this.transport.unary(invoke.DescribeFunction, { function: name }, options);
    const info = reply.function as FunctionInfo__Output;
    return {
      ...toSummary(info),
      argumentsSchema: parseJson(info.argumentsSchema || "null"),
      resultSchema: parseJson(info.resultSchema || "null"),
      example: parseJson(info.example || "null"),
    };
  }

  /** Return the server's pools and their workers. */
  async pools(options: CallOptions = {}): Promise<PoolInfo[]> {
    return await listPools(this.transport, options);
  }

  /** Return one pool. */
  async pool(name: string, options: CallOptions = {}): Promise<PoolInfo> {
    return await getPool(this.transport, name, options);
  }

  /**
   * Return the health of the server, or of one service or pool ("pool/llm"): "SERVING", "NOT_SERVING" or "UNKNOWN".
   * Rejects with NOT_FOUND for a name that the server does not have.
   */
  async health(service = "", options: CallOptions = {}): Promise<string> {
    const { status } = await this.transport.unary(healthService.Check, { service }, options);
    return enumName(status, "").toUpperCase();
  }

  /** Close the connection. */
  close(): void {
    this.transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/**
 * Return a bridge for the server at an address such as "127.0.0.1:50051" or "unix:/run/bridge.sock". It connects when the
 * first call is made. Throws for options that do not fit together, and for a key or a certificate that is not there.
 */
export function connect(address: string, options: ConnectOptions = {}): Bridge {
  return Bridge.connect(address, options);
}

function toSummary(info: FunctionInfo__Output): FunctionSummary {
  return {
    name: info.name,
    kind: enumName(info.kind, "FUNCTION_KIND_"),
    doc: info.doc,
    pool: info.pool,
    placement: enumName(info.placement, "PLACEMENT_"),
    streaming: info.streaming,
    idempotent: info.idempotent,
    pure: info.pure,
    threadSafe: info.threadSafe,
    module: info.module,
  };
}
