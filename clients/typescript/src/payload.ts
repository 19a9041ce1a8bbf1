/**
 * Values to and from the wire's Payload: JSON text, with typed arrays as tensors and bytes as blobs beside it.
 * Pure: it knows nothing about calls.
 */
import type { Payload, Payload__Output } from "./generated/bridge/v1/Payload.js";
import { BridgeError } from "./errors.js";
import { type LargeIntegers, parseJson, writeJson } from "./json.js";
import { dtypeOf, readTensor, Tensor, tensorBytes, type TypedArray } from "./tensor.js";

/** The arguments of a call: an object with one key per parameter, or bytes for a function with one bytes parameter. */
export type Arguments = object;

/** Return the payload of a call's arguments. Throws TypeError for values that can not be sent. */
export function encodeArguments(args: Arguments): Payload {
  if (args instanceof Uint8Array) return { raw: args };
  if (args === null || typeof args !== "object" || Array.isArray(args)) {
    throw new TypeError(`expected an object with one key per parameter, such as {a: 1}, got ${describe(args)}`);
  }
  const tensors: NonNullable<Payload["tensors"]> = [];
  const blobs: NonNullable<Payload["blobs"]> = [];
  const json = writeJson(args, (value, path) => {
    if (value instanceof Tensor || isTypedArray(value)) {
      const { data, shape, dtype } = value instanceof Tensor ? value : oneDimension(value);
      tensors.push({ name: path, dtype, shape: [...shape], data: tensorBytes(data) });
      return reference("$tensor", path);
    }
    if (value instanceof Uint8Array || value instanceof ArrayBuffer) {
      blobs.push({ name: path, data: value instanceof ArrayBuffer ? new Uint8Array(value) : value });
      return reference("$blob", path);
    }
    return undefined;
  });
  return { json, tensors, blobs };
}

/** Return the value of a result, its tensors and blobs in place. Throws BridgeError for a payload that is not sound. */
export function decodeValue(payload: Payload__Output | null | undefined, largeIntegers: LargeIntegers): unknown {
  if (!payload || payload.body === undefined) return null;
  if (payload.body === "raw") return plainBytes(payload.raw as Buffer);
  if (payload.body === "msgpack") {
    throw badReply("the result came as MessagePack, which this client does not read: pass the arguments as an object");
  }
  try {
    const value = parseJson(payload.json ?? "null", largeIntegers);
    if (payload.tensors.length === 0 && payload.blobs.length === 0) return value;
    return resolve(value, attachments(payload));
  } catch (error) {
    throw badReply(`the result can not be read: ${(error as Error).message}`);
  }
}

type Attachments = Record<"$tensor" | "$blob", Map<string, unknown>>;

function attachments(payload: Payload__Output): Attachments {
  const tensors = payload.tensors.map(
    ({ name, dtype, shape, data }) => [name, readTensor(dtype, shape.map(Number), data)] as const,
  );
  const blobs = payload.blobs.map(({ name, data }) => [name, plainBytes(data)] as const);
  return { $tensor: new Map(tensors), $blob: new Map(blobs) };
}

/** Replace every object {"$tensor": NAME} and {"$blob": NAME} inside a value by what it names. */
function resolve(value: unknown, attached: Attachments): unknown {
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value);
  const [first] = entries;
  if (!Array.isArray(value) && entries.length === 1 && first !== undefined) {
    const [key, name] = first;
    if ((key === "$tensor" || key === "$blob") && typeof name === "string") {
      // A name that is not there is no reference: the object is the caller's own data.
      return attached[key].get(name) ?? value;
    }
  }
  const container = value as Record<string, unknown>;
  for (const [key, item] of entries) container[key] = resolve(item, attached);
  return value;
}

function isTypedArray(value: object): value is Exclude<TypedArray, Uint8Array> {
  return ArrayBuffer.isView(value) && !(value instanceof Uint8Array) && !(value instanceof DataView);
}

function oneDimension(data: TypedArray): Tensor {
  return new Tensor(data, [data.length], dtypeOf(data));
}

function reference(kind: "$tensor" | "$blob", name: string): string {
  return `{"${kind}":${JSON.stringify(name)}}`;
}

/** Return a Buffer's bytes as a Uint8Array of their own, so that they do not keep the whole message alive. */
function plainBytes(data: Uint8Array): Uint8Array {
  return new Uint8Array(data);
}

function badReply(message: string): BridgeError {
  return new BridgeError({ code: "INTERNAL", reason: "BAD_REPLY", message });
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  return value === null ? "null" : typeof value;
}
