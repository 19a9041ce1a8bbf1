import { describe, expect, test } from "vitest";
import { readMsgpack } from "../src/msgpack-read.js";
import { Unsendable, writeMsgpack } from "../src/msgpack-write.js";

const write = (value: unknown) => writeMsgpack(value, () => undefined);
const hex = (value: unknown) => Buffer.from(write(value)).toString("hex");
const read = (text: string, largeIntegers: "bigint" | "string" = "bigint") => {
  return readMsgpack(Buffer.from(text, "hex"), largeIntegers);
};
const back = (value: unknown) => readMsgpack(write(value), "bigint");

describe("writing", () => {
  test.each<[unknown, string]>([
    [null, "c0"],
    [undefined, "c0"],
    [false, "c2"],
    [true, "c3"],
    [0, "00"],
    [127, "7f"],
    [128, "cc80"],
    [255, "ccff"],
    [256, "cd0100"],
    [65535, "cdffff"],
    [65536, "ce00010000"],
    [2 ** 32 - 1, "ceffffffff"],
    [2 ** 32, "d30000000100000000"],
    [-1, "ff"],
    [-32, "e0"],
    [-33, "d0df"],
    [-128, "d080"],
    [-129, "d1ff7f"],
    [-32769, "d2ffff7fff"],
    [-(2 ** 31), "d280000000"],
    [-(2 ** 31) - 1, "d3ffffffff7fffffff"],
    [2n ** 63n - 1n, "d37fffffffffffffff"],
    [2n ** 64n - 1n, "cfffffffffffffffff"],
    [-(2n ** 63n), "d38000000000000000"],
    [5n, "05"],
    [2 ** 60, "d31000000000000000"],
    [1e20, "cb4415af1d78b58c40"],
    [1.5, "cb3ff8000000000000"],
    [Number.NaN, "cb7ff8000000000000"],
    [-Infinity, "cbfff0000000000000"],
    ["", "a0"],
    ["é", "a2c3a9"],
    ["x".repeat(32), `d920${"78".repeat(32)}`],
    [Uint8Array.of(1, 2), "c4020102"],
    [[1, [2]], "92019102"],
    [{ a: 1, gone: undefined }, "81a16101"],
    [new Date(0), `b8${Buffer.from("1970-01-01T00:00:00.000Z").toString("hex")}`],
  ])("%o", (value, expected) => {
    expect(hex(value)).toBe(expected);
  });

  test("lengths of every size come back", () => {
    for (const length of [15, 16, 31, 32, 255, 256, 65535, 65536]) {
      const text = "ü".repeat(length);
      const value = { text, bytes: new Uint8Array(length).fill(9), items: new Array(length).fill(1) };
      expect(back(value)).toEqual(value);
      const wide = Object.fromEntries(Array.from({ length }, (_, index) => [`k${index}`, index]));
      expect(back(wide)).toEqual(wide);
    }
  });

  test("refuses what can not travel", () => {
    expect(() => write(Symbol("x"))).toThrow(Unsendable);
    expect(() => write({ a: 2n ** 64n })).toThrow(expect.objectContaining({ largeInteger: true }));
    let deep: unknown = 1;
    for (let level = 0; level < 201; level += 1) deep = [deep];
    expect(() => write(deep)).toThrow("nested deeper than 200 levels");
    expect(hex([1])).toBe("9101");
  });
});

describe("reading", () => {
  test("gives numbers where they are exact and bigint or digits where they are not", () => {
    expect(read("cf001fffffffffffff")).toBe(Number.MAX_SAFE_INTEGER);
    expect(read("cf0020000000000001")).toBe(9007199254740993n);
    expect(read("d38000000000000000")).toBe(-(2n ** 63n));
    expect(read("d38000000000000000", "string")).toBe("-9223372036854775808");
    expect(read("ca3fc00000")).toBe(1.5);
  });

  test("a key that is no text becomes one, and __proto__ is a key like others", () => {
    expect(read("8101a178")).toEqual({ 1: "x" });
    const value = read("81a95f5f70726f746f5f5f8101a178") as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(["__proto__"]);
  });

  test.each(["", "92", "a5", "dd00ffffff", "df00ffffff", "c403", "cb00", "c7", "d6ff00000000"])("refuses %o", (text) => {
    expect(() => read(text)).toThrow(RangeError);
  });

  test("keeps random values through both", () => {
    const random = (depth: number): unknown => {
      const kind = Math.floor(Math.random() * (depth > 0 ? 8 : 6));
      if (kind === 0) return BigInt(Math.floor(Math.random() * 2 ** 53)) * 2n ** 10n + 2n ** 53n;
      if (kind === 1) return (Math.random() - 0.5) * 2 ** Math.floor(Math.random() * 100);
      if (kind === 2) return Math.floor((Math.random() - 0.5) * 2 ** Math.floor(Math.random() * 53));
      if (kind === 3) return "üa\u{1f600}".repeat(Math.floor(Math.random() * 30));
      if (kind === 4) return Math.random() < 0.5 ? null : Math.random() < 0.5;
      if (kind === 5) return Uint8Array.from({ length: Math.floor(Math.random() * 300) }, (_, index) => index);
      const items = Array.from({ length: Math.floor(Math.random() * 20) }, () => random(depth - 1));
      return kind === 6 ? items : Object.fromEntries(items.map((item, index) => [`key ${index} ü`, item]));
    };
    for (let round = 0; round < 300; round += 1) {
      const value = { value: random(4) };
      // Numbers beyond 2^53 that are integers come back as what they are, integers with all their digits.
      expect(back(back(value))).toEqual(back(value));
      expect(write(back(value))).toEqual(write(value));
    }
  });
});
