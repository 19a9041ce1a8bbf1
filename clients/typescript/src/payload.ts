/**
 * Values to and from the wire's Payload: MessagePack, or JSON where that is asked for or an integer has more than 64
 * bits, with typed arrays as tensors beside it. Pure: it knows nothing about calls.
 */
import { BridgeError } from "./errors.js";
import type { Payload, Payload__Output } from "./generated/bridge/v1/Payload.js";
import { type LargeIntegers, parseJson, writeJson } from "./json.js";
import { readMsgpack } from "./msgpack-read.js";
import { Unsendable, writeMsgpack } from "./msgpack-write.js";
import { dtypeOf, readTensor, Tensor, type TypedArray } from "./tensor.js";

/** The arguments of a call: an object with one key per parameter, or bytes for a function with one bytes parameter. */
export type Arguments = object;

/** The form of arguments, and of the result that they give: "msgpack" keeps bytes and NaN, "json" integers of any size. */
export type Form = "msgpack" | "json";

type Tensors = NonNullable<Payload["tensors"]>;
type Blobs = NonNullable<Payload["blobs"]>;

/** Return the payload of a call's arguments. Throws TypeError for values that can not be sent. */
export function encodeArguments(args: Arguments, form: Form = "msgpack"): Payload {
  if (args instanceof Uint8Array) return { raw: args };
  if (args === null || typeof args !== "object" || Array.isArray(args)) {
    throw new TypeError(`expected an object with one key per parameter, such as {a: 1}, got ${describe(args)}`);
  }
  return form === "json" ? jsonPayload(args) : msgpackPayload(args);
}

/** Return the payload of a session's variable, which can have nothing beside it. Throws TypeError. */
export function encodeVariable(value: unknown): Payload {
  if (value instanceof Uint8Array) return { raw: value };
  const msgpack = writeMsgpack(value, (object) => {
    if (object instanceof ArrayBuffer) return new Uint8Array(object);
    if (!(object instanceof Tensor || isTypedArray(object))) return undefined;
    throw new TypeError("a variable can not hold a tensor; send a list, or bytes");
  });
  return { msgpack };
}

function msgpackPayload(value: unknown): Payload {
  const payload: Payload = {};
  try {
    payload.msgpack = writeMsgpack(value, (object) => {
      if (object instanceof Tensor || isTypedArray(object)) return tensorReference(object, (payload.tensors ??= []));
      if (object instanceof ArrayBuffer) return new Uint8Array(object);
      return object instanceof Uint8Array ? blobReference(object, (payload.blobs ??= [])) : undefined;
    });
  } catch (error) {
    if (!(error instanceof Unsendable)) throw error;
    // JSON has integers of any size; for everything else its writer, which is slower, says where the trouble is.
    const payloadOfJson = jsonPayload(value);
    if (error.largeInteger) return payloadOfJson;
    throw error;
  }
  return payload;
}

function jsonPayload(value: unknown): Payload {
  const tensors: Tensors = [];
  const blobs: Blobs = [];
  const json = writeJson(value, (object) => {
    if (object instanceof Tensor || isTypedArray(object)) return JSON.stringify(tensorReference(object, tensors));
    if (!(object instanceof Uint8Array || object instanceof ArrayBuffer)) return undefined;
    return JSON.stringify(blobReference(object instanceof ArrayBuffer ? new Uint8Array(object) : object, blobs));
  });
  return { json, tensors, blobs };
}

/** Put a tensor aside and return what refers to it. The slash keeps its name apart from those of parameters. */
function tensorReference(value: Tensor | TypedArray, tensors: Tensors): object {
  const tensor = value instanceof Tensor ? value : oneDimension(value);
  const name = `tensor/${tensors.length}`;
  tensors.push({ name, dtype: tensor.dtype, shape: [...tensor.shape], data: tensor.bytes() });
  return { $tensor: name };
}

function blobReference(data: Uint8Array, blobs: Blobs): object {
  const name = `blob/${blobs.length}`;
  blobs.push({ name, data });
  return { $blob: name };
}

/** Return the value of a result, its tensors and blobs in place. Throws BridgeError for a payload that is not sound. */
export function decodeValue(payload: Payload__Output | null | undefined, largeIntegers: LargeIntegers): unknown {
  if (!payload || payload.body === undefined) return null;
  if (payload.body === "raw") return plainBytes(payload.raw as Buffer);
  try {
    const value = read(payload, largeIntegers);
    if (payload.tensors.length === 0 && payload.blobs.length === 0) return value;
    return resolve(value, attachments(payload));
  } catch (error) {
    throw badReply(`the result can not be read: ${(error as Error).message}`);
  }
}

function read(payload: Payload__Output, largeIntegers: LargeIntegers): unknown {
  if (payload.body === "json") return parseJson(payload.json || "null", largeIntegers);
  const packed = payload.msgpack as Buffer;
  return packed.length === 0 ? null : readMsgpack(packed, largeIntegers);
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
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
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

/** Return a Buffer's bytes as a Uint8Array of their own, so that they do not keep the whole message alive. */
function plainBytes(data: Uint8Array): Uint8Array {
  return new Uint8Array(data);
}

/** Return the error of a reply that is not sound. */
export function badReply(message: string): BridgeError {
  return new BridgeError({ code: "INTERNAL", reason: "BAD_REPLY", message });
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  return value === null ? "null" : typeof value;
}
