import { describe, expect, test } from "vitest";
import type { Payload__Output } from "../src/generated/bridge/v1/Payload.js";
import { decodeValue, encodeArguments, encodeVariable, type Form } from "../src/payload.js";
import { wire } from "../src/wire.js";
import { readTensor, Tensor, tensor, type TypedArray } from "../src/tensor.js";

/** Return the value as it would come back from a server that sends its arguments. */
function roundTrip(args: object, form?: Form): unknown {
  const bytes = wire["bridge.v1.Payload"].serialize(encodeArguments(args, form));
  return decodeValue(wire["bridge.v1.Payload"].deserialize(bytes), "bigint");
}

const packed = (args: object) => Buffer.from(encodeArguments(args).msgpack as Uint8Array).toString("hex");

describe("arguments", () => {
  test("are MessagePack, typed arrays beside it as tensors", () => {
    expect(packed({ a: 1, b: [true, null, "é"] })).toBe("82a16101a16293c3c0a2c3a9");
    const payload = encodeArguments({ m: tensor(new Float32Array(6), [2, 3]) });
    expect(Buffer.from(payload.msgpack as Uint8Array).toString("latin1")).toContain("$tensor\xa8tensor/0");
    expect(payload.tensors).toMatchObject([{ name: "tensor/0", dtype: "FP32", shape: [2, 3] }]);
  });

  test("small bytes are inside, large ones beside the value", () => {
    const small = encodeArguments({ data: new Uint8Array(10) });
    expect(small.blobs).toBeUndefined();
    const large = encodeArguments({ list: [{ data: new Uint8Array(100_000) }, new ArrayBuffer(3)] });
    expect(large.blobs).toMatchObject([{ name: "blob/0" }]);
    expect((large.msgpack as Uint8Array).length).toBeLessThan(100);
    const back = roundTrip({ list: [{ data: new Uint8Array(100_000).fill(7) }, new ArrayBuffer(3)] });
    expect(back).toEqual({ list: [{ data: new Uint8Array(100_000).fill(7) }, new Uint8Array(3)] });
  });

  test("are JSON where that is asked for, bytes beside it as blobs", () => {
    const payload = encodeArguments({ m: Float32Array.of(1), raw: Uint8Array.of(1, 2) }, "json");
    expect(payload.json).toBe('{"m":{"$tensor":"tensor/0"},"raw":{"$blob":"blob/0"}}');
    expect(payload.blobs).toEqual([{ name: "blob/0", data: Uint8Array.of(1, 2) }]);
    expect(roundTrip({ raw: Uint8Array.of(1, 2) }, "json")).toEqual({ raw: Uint8Array.of(1, 2) });
  });

  test("are JSON where an integer has more than 64 bits", () => {
    expect(encodeArguments({ n: 2n ** 64n }).json).toBe('{"n":18446744073709551616}');
    expect(encodeArguments({ n: 2n ** 64n - 1n }).json).toBeUndefined();
    expect(roundTrip({ n: -(2n ** 63n) - 1n })).toEqual({ n: -(2n ** 63n) - 1n });
  });

  test("what can not be sent is told by its place", () => {
    expect(() => encodeArguments({ a: { b: [new Map()] } })).toThrow("a.b[0] is a Map; use a plain object");
    expect(() => encodeArguments({ a: () => 1 })).toThrow("a is a function, which can not be sent");
    const cycle: Record<string, unknown> = {};
    cycle.self = { cycle };
    expect(() => encodeArguments({ cycle })).toThrow("cycle.self.cycle contains itself");
    expect(() => encodeArguments({ text: "\ud800" })).toThrow("half a surrogate pair");
  });

  test("a variable has nothing beside it", () => {
    expect(encodeVariable(Uint8Array.of(1))).toEqual({ raw: Uint8Array.of(1) });
    expect(encodeVariable({ a: new Uint8Array(100_000) }).blobs).toBeUndefined();
    expect(() => encodeVariable([Float32Array.of(1)])).toThrow("a variable can not hold a tensor");
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
    const back = (roundTrip({ data }) as { data: Tensor }).data;
    expect(back.shape).toEqual([data.length]);
    expect(Buffer.from(back.bytes())).toEqual(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    expect(back.data.constructor).toBe(data instanceof Uint8ClampedArray ? Uint8Array : data.constructor);
  });

  test("a part of a larger buffer is sent as that part", () => {
    const whole = Float64Array.of(1, 2, 3, 4);
    const { data } = (roundTrip({ data: whole.subarray(1, 3) }) as { data: Tensor }).data;
    expect(data).toEqual(Float64Array.of(2, 3));
  });

  test("bytes arrive as bytes that do not hold the message", () => {
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

  test("half precision goes back as the bits that it was", () => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, index) => index).filter((half) => (half & 0x7fff) <= 0x7c00);
    const back = (roundTrip({ h: tensor(bits, [bits.length], "FP16") }) as { h: Tensor }).h;
    expect(back.data).toBeInstanceOf(Float32Array);
    expect(Buffer.from(back.bytes())).toEqual(Buffer.from(bits.buffer));
    const rounded = tensor(Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, Number.NaN), [6], "FP16");
    expect([...new Uint16Array(rounded.bytes().buffer)]).toEqual([0x3c00, 0x3c02, 0x7bff, 0x7c00, 0, 0x7e00]);
  });

  test.each([
    [{ dtype: "FP32", shape: [3], data: Buffer.alloc(8) }, "FP32 of shape [3] needs 12 bytes, got 8"],
    [{ dtype: "COMPLEX", shape: [1], data: Buffer.alloc(8) }, "unknown element type COMPLEX"],
  ])("a broken tensor is an error: %o", (item, message) => {
    const broken = payload({ body: "json", json: "1", tensors: [{ name: "t", ...item }] });
    expect(() => decodeValue(broken, "bigint")).toThrow(expect.objectContaining({ code: "INTERNAL", reason: "BAD_REPLY" }));
    expect(() => decodeValue(broken, "bigint")).toThrow(message);
  });

  test("an empty body is null, and bytes behind a value are an error", () => {
    expect(decodeValue(payload({ body: "msgpack", msgpack: Buffer.of() }), "bigint")).toBeNull();
    expect(decodeValue(payload({ body: "json", json: "" }), "bigint")).toBeNull();
    const two = payload({ body: "msgpack", msgpack: Buffer.of(1, 2) });
    expect(() => decodeValue(two, "bigint")).toThrow("expected one MessagePack value, got 1 bytes behind it");
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
