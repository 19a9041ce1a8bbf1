/**
 * A bridge server inside the test's process: it records what arrives and answers as the test tells it to.
 */
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import { wire } from "../src/wire.js";

const SERVICES = [
  "bridge.v1.EmbeddingService",
  "bridge.v1.InvokeService",
  "bridge.v1.MetricService",
  "bridge.v1.ModelService",
  "bridge.v1.PoolService",
  "bridge.v1.ProgramService",
  "bridge.v1.SessionService",
  "bridge.v1.ToolService",
  "grpc.health.v1.Health",
] as const;

export interface Arrived {
  method: string;
  request: any;
  metadata: Metadata;
  deadline: Date | number;
  /** Resolves when the client has cancelled the call or its deadline has passed. */
  cancelled: Promise<void>;
}

/** Return the reply; throw `failure(...)` for an error. For a stream, an iterable of replies. */
export type Answer = (call: Arrived) => unknown;

/** Serves a stream both ways. */
export type Talk = (stream: ServerDuplexStream<any, any>) => void;

export class FakeServer {
  readonly arrived: Arrived[] = [];
  readonly answers = new Map<string, Answer>();
  readonly talks = new Map<string, Talk>();
  readonly trailers = new Metadata();
  address = "";
  readonly #server = new Server({ "grpc.max_receive_message_length": 1024 * 1024 });

  static async start(target = "127.0.0.1:0", credentials = ServerCredentials.createInsecure()): Promise<FakeServer> {
    const fake = new FakeServer();
    for (const name of SERVICES) fake.#serve(wire[name], name.slice(name.lastIndexOf(".") + 1));
    const port = await new Promise<number>((resolve, reject) => {
      fake.#server.bindAsync(target, credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    fake.address = target.startsWith("unix:") ? target : `127.0.0.1:${port}`;
    return fake;
  }

  /** Set the answer to a method such as "InvokeService/Call". */
  on(method: string, answer: Answer): void {
    this.answers.set(method, answer);
  }

  /** Return the last call that arrived. */
  get last(): Arrived {
    const last = this.arrived.at(-1);
    if (last === undefined) throw new Error("no call has arrived");
    return last;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #serve(definition: ServiceDefinition, service: string): void {
    const handlers: Record<string, unknown> = {};
    for (const [name, method] of Object.entries(definition)) {
      const full = `${service}/${name}`;
      handlers[name] = method.requestStream
        ? (call: ServerDuplexStream<unknown, unknown>) => this.talks.get(full)?.(call)
        : method.responseStream
        ? (call: ServerWritableStream<unknown, unknown>) => void this.#stream(full, call)
        : (call: ServerUnaryCall<unknown, unknown>, reply: Reply) => void this.#unary(full, call, reply);
    }
    this.#server.addService(definition, handlers as never);
  }

  async #unary(method: string, call: ServerUnaryCall<unknown, unknown>, reply: Reply): Promise<void> {
    try {
      reply(null, await this.#answer(method, call), this.trailers);
    } catch (error) {
      reply(error, null);
    }
  }

  async #stream(method: string, call: ServerWritableStream<unknown, unknown>): Promise<void> {
    try {
      for await (const item of (await this.#answer(method, call)) as AsyncIterable<unknown>) {
        if (call.cancelled) return;
        call.write(item);
      }
      call.end(this.trailers);
    } catch (error) {
      call.emit("error", error);
    }
  }

  #answer(method: string, call: ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>): unknown {
    const cancelled = new Promise<void>((resolve) => call.on("cancelled", resolve));
    const { request, metadata } = call;
    const arrived = { method, request, metadata, deadline: call.getDeadline(), cancelled };
    this.arrived.push(arrived);
    const answer = this.answers.get(method);
    if (answer === undefined) throw failure("UNIMPLEMENTED", `the fake has no answer to ${method}`);
    return answer(arrived);
  }
}

type Reply = (error: unknown, value: unknown, trailers?: Metadata) => void;

interface Detail {
  type: "google.rpc.ErrorInfo" | "google.rpc.BadRequest" | "google.rpc.RetryInfo" | "google.rpc.DebugInfo";
  value: object;
}

/** Return an error for an answer to throw, with google.rpc details as the bridge sends them. */
export function failure(code: keyof typeof status, message: string, details: Detail[] = []): Error {
  const metadata = new Metadata();
  if (details.length > 0) {
    const packed = details.map(({ type, value }) => ({
      type_url: `type.googleapis.com/${type}`,
      value: wire[type].serialize(value as never),
    }));
    const rpc = { code: status[code], message, details: packed };
    metadata.set("grpc-status-details-bin", wire["google.rpc.Status"].serialize(rpc));
  }
  return Object.assign(new Error(message), { code: status[code], details: "the short form", metadata });
}

/** Return a reply of InvokeService/Call. */
export function result(value: unknown): object {
  return { result: { json: JSON.stringify(value) } };
}
