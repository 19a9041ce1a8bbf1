/**
 * The entrance: `connect` gives a Bridge, which makes calls and looks at the server.
 */
import { Calls } from "./calls.js";
import type { FunctionInfo__Output } from "./generated/bridge/v1/FunctionInfo.js";
import { parseJson } from "./json.js";
import { allPages } from "./pages.js";
import { listPools, type PoolInfo } from "./pools.js";
import { Session, type SessionOptions } from "./session.js";
import { type CallOptions, type ConnectOptions, Transport } from "./transport.js";
import { enumName, wire } from "./wire.js";

const invoke = wire["bridge.v1.InvokeService"];
const healthService = wire["grpc.health.v1.Health"];

/** A function in a list. */
export interface FunctionSummary {
  name: string;
  /** "function", "program" or "builtin". */
  kind: string;
  doc: string;
  pool: string;
  /** Where it may run: "native" or "pooled". */
  placement: string;
  streaming: boolean;
  idempotent: boolean;
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

/** A connection to a bridge server. It may be shared by the whole program. */
export class Bridge extends Calls {
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
}

/** Return a bridge for the server at an address such as "127.0.0.1:50051". It connects when the first call is made. */
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
  };
}
