/**
 * A session's variables: typed, versioned, watchable values that all workers of the session share.
 */
import type { SessionServiceWatchResponse__Output } from "./generated/bridge/v1/SessionServiceWatchResponse.js";
import type { SessionVariable__Output } from "./generated/bridge/v1/SessionVariable.js";
import type { CallOptions } from "./options.js";
import { decodeValue, encodeVariable } from "./payload.js";
import type { ResultStream } from "./stream.js";
import type { Transport } from "./transport.js";
import { enumName, wire } from "./wire.js";

const service = wire["bridge.v1.SessionService"];
const FORM = "PAYLOAD_FORM_MSGPACK";

/** A variable at one moment. */
export interface Variable<Value = unknown> {
  name: string;
  /** "bool", "int", "float", "string", "bytes", "list" or "map". */
  type: string;
  value: Value;
  /** The number of its last change; changes are counted over all variables of the session. */
  version: number;
}

/** How to write a variable. */
export interface SetOptions extends CallOptions {
  /** The version that the variable must have now, 0 for "there must be none"; else ABORTED, VERSION_MISMATCH. */
  expectedVersion?: number;
  /** Whether the new value may be of another type than the old one. */
  replaceType?: boolean;
}

/** How to delete a variable. */
export interface DeleteOptions extends CallOptions {
  /** The version that the variable must have now. */
  expectedVersion?: number;
}

/** What a watcher is told: all variables at first, then each change, and at last why the session ended. */
export type WatchEvent =
  | { type: "snapshot"; variables: Variable[]; version: number }
  | { type: "changed"; variable: Variable; version: number; skipped: number }
  | { type: "deleted"; name: string; version: number; skipped: number }
  | { type: "end"; reason: string };

/** The variables of one session. */
export class Variables {
  readonly #transport: Transport;
  readonly #sessionId: string;

  constructor(transport: Transport, sessionId: string) {
    this.#transport = transport;
    this.#sessionId = sessionId;
  }

  /** Return a variable. Rejects with NOT_FOUND where there is none. */
  async get<Value = unknown>(name: string, options: CallOptions = {}): Promise<Variable<Value>> {
    const request = { sessionId: this.#sessionId, name, form: FORM } as const;
    const { variable } = await this.#transport.unary(service.GetVariable, request, options);
    return this.#toVariable(variable as SessionVariable__Output) as Variable<Value>;
  }

  /** Give a variable a value, which makes it where there is none, and return its version. */
  async set(name: string, value: unknown, options: SetOptions = {}): Promise<number> {
    const { expectedVersion, replaceType = false } = options;
    const request = {
      sessionId: this.#sessionId,
      name,
      value: encodeVariable(value),
      replaceType,
      ...(expectedVersion === undefined ? {} : { expectedVersion }),
    };
    return Number((await this.#transport.unary(service.SetVariable, request, options)).version);
  }

  /** Delete a variable and return the number of the change. */
  async delete(name: string, options: DeleteOptions = {}): Promise<number> {
    const { expectedVersion } = options;
    const expected = expectedVersion === undefined ? {} : { expectedVersion };
    const request = { sessionId: this.#sessionId, name, ...expected };
    return Number((await this.#transport.unary(service.DeleteVariable, request, options)).version);
  }

  /** Return all variables, in the order of their names. */
  async list(options: CallOptions = {}): Promise<Variable[]> {
    const request = { sessionId: this.#sessionId, form: FORM } as const;
    const { variables } = await this.#transport.unary(service.ListVariables, request, options);
    return variables.map((variable) => this.#toVariable(variable));
  }

  /** Watch the variables until the session ends or the loop is left. It has no time limit unless `timeoutMs` sets one. */
  watch(options: CallOptions = {}): ResultStream<WatchEvent> {
    const endless = { ...options, timeoutMs: options.timeoutMs ?? Number.POSITIVE_INFINITY };
    const request = { id: this.#sessionId, form: FORM } as const;
    return this.#transport.stream(service.Watch, request, endless, (reply) => this.#toEvents(reply));
  }

  #toEvents({ snapshot, change, end }: SessionServiceWatchResponse__Output): WatchEvent[] {
    if (snapshot) {
      const variables = snapshot.variables.map((variable) => this.#toVariable(variable));
      return [{ type: "snapshot", variables, version: Number(snapshot.version) }];
    }
    if (change) {
      const variable = change.variable as SessionVariable__Output;
      const counts = { version: Number(change.version), skipped: Number(change.skipped) };
      if (change.deleted) return [{ type: "deleted", name: variable.name, ...counts }];
      return [{ type: "changed", variable: this.#toVariable(variable), ...counts }];
    }
    return end ? [{ type: "end", reason: end.reason }] : [];
  }

  #toVariable({ name, type, value, version }: SessionVariable__Output): Variable {
    return {
      name,
      type: enumName(type, "VARIABLE_TYPE_"),
      value: decodeValue(value, this.#transport.largeIntegers),
      version: Number(version),
    };
  }
}
