import { describe, expect, test } from "vitest";
import { parseJson, writeJson } from "../src/json.js";

const write = (value: unknown) => writeJson(value, () => undefined);

describe("writeJson", () => {
  test("agrees with JSON.stringify on plain values", () => {
    const value = { a: [1, -2.5, 1e21, true, null, "ü\n\u2028"], "odd key": { nested: {} }, gone: undefined, list: [] };
    expect(write(value)).toBe(JSON.stringify(value));
    expect(write({ day: new Date(0) })).toBe('{"day":"1970-01-01T00:00:00.000Z"}');
    expect(write([undefined])).toBe("[null]");
  });

  test("writes every digit of a bigint", () => {
    expect(write({ n: 9007199254740993n, m: -(2n ** 63n) })).toBe('{"n":9007199254740993,"m":-9223372036854775808}');
  });

  test("writes a large number's own digits, not the shortest that round to it", () => {
    expect(write([2 ** 60, -(2 ** 53)])).toBe("[1152921504606846976,-9007199254740992]");
    expect(write([1e20, 1e21, 1.5e300])).toBe("[100000000000000000000,1e+21,1.5e+300]");
  });

  test("names NaN and the infinities", () => {
    expect(write([Number.NaN, Infinity, -Infinity])).toBe('["NaN","Infinity","-Infinity"]');
  });

  test.each([
    [{ a: { b: new Map() } }, "a.b is a Map; use a plain object"],
    [{ a: [new Set()] }, "a[0] is a Set; use an array"],
    [{ a: Promise.resolve(1) }, "a is a Promise; await it first"],
    [{ a: () => 1 }, "a is a function, which can not be sent"],
    [{ a: Symbol("x") }, "a is a symbol, which can not be sent"],
  ])("refuses what JSON would drop: %o", (value, message) => {
    expect(() => write(value)).toThrow(message);
  });

  test("refuses a value that contains itself, and takes one that occurs twice", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = { cycle };
    expect(() => write({ cycle })).toThrow("cycle.self.cycle contains itself");
    const shared = { x: 1 };
    expect(write([shared, shared])).toBe('[{"x":1},{"x":1}]');
  });
});

describe("parseJson", () => {
  test("gives numbers where they are exact and bigint where they are not", () => {
    const text = '{"safe": 9007199254740991, "large": 9007199254740993, "low": [-9223372036854775808], "id": 1234567890123456}';
    expect(parseJson(text)).toEqual({
      safe: 9007199254740991,
      large: 9007199254740993n,
      low: [-9223372036854775808n],
      id: 1234567890123456,
    });
  });

  test("gives the digits as text when asked to", () => {
    expect(parseJson("[18446744073709551615, 1]", "string")).toEqual(["18446744073709551615", 1]);
  });

  test("leaves fractions, exponents and digits inside strings alone", () => {
    const value = ["99999999999999999999", 'quote \\" 99999999999999999999', 0.12345678901234567, 1e300, "\\"];
    expect(parseJson(JSON.stringify(value))).toEqual(value);
    expect(parseJson('{"99999999999999999999": 1, "e": 12345678901234567890e2}')).toEqual({
      "99999999999999999999": 1,
      e: 12345678901234567890e2,
    });
  });

  test("refuses what is not JSON", () => {
    expect(() => parseJson("[12345678901234567890")).toThrow(SyntaxError);
    expect(() => parseJson('"12345678901234567890')).toThrow(SyntaxError);
    expect(() => parseJson("012345678901234567890")).toThrow(SyntaxError);
    expect(() => parseJson("{12345678901234567890: 1}")).toThrow(SyntaxError);
  });

  test("keeps random values through both", () => {
    const random = (depth: number): unknown => {
      const kind = Math.floor(Math.random() * (depth > 0 ? 6 : 4));
      if (kind === 0) return BigInt(Math.floor(Math.random() * 2 ** 53)) * 2n ** 12n + 2n ** 53n;
      if (kind === 1) return Math.random() * 1e6;
      if (kind === 2) return `"\\${Math.random()}12345678901234567890`;
      if (kind === 3) return null;
      const items = Array.from({ length: 3 }, () => random(depth - 1));
      return kind === 4 ? items : Object.fromEntries(items.map((item, index) => [`${index}\\"`, item]));
    };
    for (let round = 0; round < 200; round += 1) {
      const value = random(4);
      expect(parseJson(write(value))).toEqual(value);
    }
  });
});
