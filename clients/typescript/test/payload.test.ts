import { describe, expect, test } from "vitest";
import type { Payload__Output } from "../src/generated/bridge/v1/Payload.js";
import { decodeValue, encodeArguments } from "../src/payload.js";
import { readTensor, Tensor, tensor, tensorBytes, type TypedArray } from "../src/tensor.js";

/** Return the payload as it would arrive at the other end, bytes as they come out of a larger message. */
function arrived(payload: ReturnType<typeof encodeArguments>): Payload__Output {
  const bytes = (data: unknown) => {
    const message = Buffer.alloc((data as Uint8Array).length + 3);
    message.set(data as Uint8Array, 3);
    return message.subarray(3);
  };
  const tensors = (payload.tensors ?? []).map((item) => ({ ...item, data: bytes(item.data) }));
  const blobs = (payload.blobs ?? []).map((item) => ({ ...item, data: bytes(item.data) }));
  return { ...payload, tensors, blobs, body: payload.raw === undefined ? "json" : "raw" } as unknown as Payload__Output;
}

const roundTrip = (args: object) => decodeValue(arrived(encodeArguments(args)), "bigint");

describe("arguments", () => {
  test("typed arrays become tensors and bytes become blobs, named by where they are", () => {
    const payload = encodeArguments({ m: tensor(new Float32Array(6), [2, 3]), list: [{ raw: Uint8Array.of(1, 2) }] });
    expect(payload.json).toBe('{"m":{"$tensor":"m"},"list":[{"raw":{"$blob":"list[0].raw"}}]}');
    expect(payload.tensors).toMatchObject([{ name: "m", dtype: "FP32", shape: [2, 3] }]);
    expect(payload.blobs).toEqual([{ name: "list[0].raw", data: Uint8Array.of(1, 2) }]);
  });

  test.each<TypedArray>([
    Int8Array.of(-128, 127),
    Uint8ClampedArray.of(0, 255),
    Int16Array.of(-32768, 32767),
    Uint16Array.of(0, 65535),
    Int32Array.of(-(2 ** 31), 2 ** 31 - 1),
    Uint32Array.of(0, 2 ** 32 - 1),
    Float32Array.of(-0, Number.NaN, Infinity, 1.5),
    Float64Array.of(-0, Number.NaN, -Infinity, Number.MIN_VALUE),
    BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n),
    BigUint64Array.of(0n, 2n ** 64n - 1n),
  ])("%o keeps every bit", (data) => {
    const { data: back, shape } = (roundTrip({ data }) as { data: Tensor }).data;
    expect(shape).toEqual([data.length]);
    expect(Buffer.from(tensorBytes(back))).toEqual(Buffer.from(tensorBytes(data)));
    expect(back.constructor).toBe(data instanceof Uint8ClampedArray ? Uint8Array : data.constructor);
  });

  test("a part of a larger buffer is sent as that part", () => {
    const whole = Float64Array.of(1, 2, 3, 4);
    const { data } = (roundTrip({ data: whole.subarray(1, 3) }) as { data: Tensor }).data;
    expect(data).toEqual(Float64Array.of(2, 3));
  });

  test("blobs arrive as bytes that do not hold the message", () => {
    const { blob, more } = roundTrip({ blob: Buffer.from("hi"), more: new ArrayBuffer(2) }) as Record<string, Uint8Array>;
    expect(blob).toEqual(new Uint8Array([104, 105]));
    expect(blob?.buffer.byteLength).toBe(2);
    expect(more).toEqual(new Uint8Array(2));
  });

  test("bytes alone are the raw form", () => {
    expect(encodeArguments(Uint8Array.of(7))).toEqual({ raw: Uint8Array.of(7) });
    expect(roundTrip(Uint8Array.of(7))).toEqual(Uint8Array.of(7));
  });

  test("only an object names parameters", () => {
    expect(() => encodeArguments([1, 2])).toThrow("expected an object with one key per parameter, such as {a: 1}, got an array");
    expect(() => encodeArguments(5 as unknown as object)).toThrow("got number");
  });
});

describe("results", () => {
  const payload = (extra: object) => ({ tensors: [], blobs: [], ...extra }) as unknown as Payload__Output;

  test("nothing is null", () => {
    expect(decodeValue(payload({}), "bigint")).toBeNull();
    expect(decodeValue(undefined, "bigint")).toBeNull();
  });

  test("the whole result may be a tensor, and a name that is not there is plain data", () => {
    const tensors = [{ name: "t0", dtype: "FP32", shape: ["1", "2"], data: Buffer.from(Float32Array.of(1, 2).buffer) }];
    expect(decodeValue(payload({ body: "json", json: '{"$tensor":"t0"}', tensors }), "bigint")).toEqual(
      new Tensor(Float32Array.of(1, 2), [1, 2], "FP32"),
    );
    expect(decodeValue(payload({ body: "json", json: '{"$tensor":"other"}', tensors }), "bigint")).toEqual({
      $tensor: "other",
    });
  });

  test("half precision is widened", () => {
    const half = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x7c00, 0xfc00, 0x7e00);
    const { data, dtype } = readTensor("FP16", [8], Buffer.from(half.buffer));
    expect(dtype).toBe("FP16");
    expect([...data]).toEqual([1, -2, 65504, 2 ** -24, -0, Infinity, -Infinity, Number.NaN]);
  });

  test.each([
    [{ dtype: "FP32", shape: [3], data: Buffer.alloc(8) }, "FP32 of shape [3] needs 12 bytes, got 8"],
    [{ dtype: "COMPLEX", shape: [1], data: Buffer.alloc(8) }, "unknown element type COMPLEX"],
  ])("a broken tensor is an error: %o", (item, message) => {
    const broken = payload({ body: "json", json: "1", tensors: [{ name: "t", ...item }] });
    expect(() => decodeValue(broken, "bigint")).toThrow(expect.objectContaining({ code: "INTERNAL", reason: "BAD_REPLY" }));
    expect(() => decodeValue(broken, "bigint")).toThrow(message);
  });

  test("MessagePack is refused with the way out", () => {
    const packed = payload({ body: "msgpack", msgpack: Buffer.of(1) });
    expect(() => decodeValue(packed, "bigint")).toThrow("pass the arguments as an object");
  });
});

describe("tensor()", () => {
  test("checks shape and type", () => {
    expect(() => tensor(new Float32Array(5), [2, 3])).toThrow("shape [2, 3] has 6 elements, the data has 5");
    expect(() => tensor(new Float32Array(1), [1], "INT8")).toThrow("expected a typed array for INT8, got Float32Array");
    expect(() => tensor([1, 2] as never)).toThrow(TypeError);
    expect(tensor(Uint8Array.of(0, 1), [2], "BOOL").dtype).toBe("BOOL");
    expect(tensor(Float64Array.of(3), []).shape).toEqual([]);
  });
});
