/**
 * JSON text that keeps what `JSON` loses: 64-bit integers, NaN and infinities.
 * Pure: it knows nothing about payloads; binary values are handed to the caller's `replace`.
 */
import { randomUUID } from "node:crypto";

/** What becomes of integers that a number can not hold: a `bigint`, or their digits as a `string`. */
export type LargeIntegers = "bigint" | "string";

/** Return the JSON text that stands for a binary value at a path, or undefined for a value that is not binary. */
export type Replace = (value: object, path: string) => string | undefined;

/**
 * Write a value as JSON text.
 *
 * bigint is written with all its digits; NaN, Infinity and -Infinity as those strings; Date and other objects with
 * `toJSON` by that; properties that are undefined are left out. Throws TypeError for what JSON would drop silently
 * (functions, symbols, Map, Set, Promise) and for a value that contains itself.
 */
export function writeJson(value: unknown, replace: Replace): string {
  return new Writer(replace).write(value, "");
}

class Writer {
  readonly #replace: Replace;
  readonly #open = new Set<object>();

  constructor(replace: Replace) {
    this.#replace = replace;
  }

  write(value: unknown, path: string): string {
    switch (typeof value) {
      case "string":
        return JSON.stringify(value);
      case "number":
        return writeNumber(value);
      case "bigint":
        return value.toString();
      case "boolean":
        return value ? "true" : "false";
      case "undefined":
        return "null";
      case "object":
        return value === null ? "null" : this.#writeObject(value, path);
      default:
        throw new TypeError(`${path || "the value"} is a ${typeof value}, which can not be sent`);
    }
  }

  #writeObject(value: object, path: string): string {
    const replaced = this.#replace(value, path);
    if (replaced !== undefined) return replaced;
    if (hasJsonForm(value)) return this.write(value.toJSON(), path);
    refuseUnsendable(value, path);
    if (this.#open.has(value)) throw new TypeError(`${path} contains itself; send a value without cycles`);
    this.#open.add(value);
    const text = Array.isArray(value) ? this.#writeArray(value, path) : this.#writeRecord(value, path);
    this.#open.delete(value);
    return text;
  }

  #writeArray(items: unknown[], path: string): string {
    return `[${items.map((item, index) => this.write(item, `${path}[${index}]`)).join(",")}]`;
  }

  #writeRecord(record: object, path: string): string {
    const parts: string[] = [];
    for (const [key, value] of Object.entries(record)) {
      if (value === undefined) continue;
      parts.push(`${JSON.stringify(key)}:${this.write(value, path ? `${path}.${key}` : key)}`);
    }
    return `{${parts.join(",")}}`;
  }
}

/** Whether an object says itself what it is in JSON, as a Date does. */
export function hasJsonForm(value: object): value is { toJSON(): unknown } {
  return "toJSON" in value && typeof value.toJSON === "function";
}

/** Write a number: JSON.stringify would write the integer 2 ** 60 with zeros for its last digits. */
function writeNumber(value: number): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  const exact = Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21;
  return exact ? BigInt(value).toString() : JSON.stringify(value);
}

function refuseUnsendable(value: object, path: string): void {
  const fixes: [new (...args: never[]) => object, string][] = [
    [Map, "use a plain object: Object.fromEntries(map)"],
    [Set, "use an array: [...set]"],
    [Promise, "await it first"],
  ];
  for (const [type, fix] of fixes) {
    if (value instanceof type) throw new TypeError(`${path || "the value"} is a ${type.name}; ${fix}`);
  }
}

/**
 * Parse JSON text. Integers that a number holds exactly become numbers, larger ones what `largeIntegers` says.
 * Throws SyntaxError for text that is not JSON.
 */
export function parseJson(text: string, largeIntegers: LargeIntegers = "bigint"): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  // No text from outside can have the mark as a key: it is new for each text.
  const mark = randomUUID();
  return JSON.parse(markLargeIntegers(text, mark), (_key, value: unknown) => {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, mark)) return value;
    const digits = (value as Record<string, string>)[mark] as string;
    return largeIntegers === "bigint" ? BigInt(digits) : digits;
  });
}

/**
 * Return the text with each integer that is not safe as a number turned into an object {mark: its digits}.
 * An object, because where a number is not allowed (as a key) an object is not either: text that is not JSON stays so.
 */
function markLargeIntegers(text: string, mark: string): string {
  const number = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
  const parts: string[] = [];
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    const char = text[at];
    if (char === '"') {
      at = endOfString(text, at);
      continue;
    }
    number.lastIndex = at;
    const match = number.exec(text);
    if (match === null) {
      at += 1;
      continue;
    }
    at = number.lastIndex;
    const [digits, fraction, exponent] = match;
    if (fraction !== undefined || exponent !== undefined || Number.isSafeInteger(Number(digits))) continue;
    parts.push(text.slice(copied, at - digits.length), `{"${mark}":"${digits}"}`);
    copied = at;
  }
  parts.push(text.slice(copied));
  return parts.join("");
}

/** Return the index after the string that starts at `start`; the text's length where it does not end. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const char = text[at];
    if (char === '"') return at + 1;
    at += char === "\\" ? 2 : 1;
  }
  return text.length;
}
